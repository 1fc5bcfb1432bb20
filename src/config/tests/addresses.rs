//! Where senders reach a source.

use super::*;

#[test]
fn address_that_is_signed_is_the_source_s_own_under_the_public_one() {
    let source = "[source.t]\nprovider = \"twilio\"\nsecrets = [{ env = \"A\" }]\n\
                  [source.v]\nsecrets = [{ env = \"A\" }]\n\
                  verify = { algorithm = \"hmac-sha1\", header = \"X-S\", signed = \"{body}{url}\" }\n";
    let server = "[server]\npublic_url = \"https://site.example/in/\"\n";
    let url = |text: &str, name: &str| {
        let config = good(&format!("{SMALL}{text}"));
        config
            .sources
            .get(&SourceName::parse(name).unwrap())
            .unwrap()
            .signed_url()
            .map(str::to_owned)
    };
    let text = format!("{source}{server}");
    for name in ["t", "v"] {
        let expected = format!("https://site.example/in/hooks/{name}");
        assert_eq!(url(&text, name), Some(expected));
    }
    assert_eq!(url(&text, "hyvor"), None, "it signs none");
    let text = text.replace("\"twilio\"", "\"twilio\"\nurl = \"https://other.example/t\"");
    assert_eq!(url(&text, "t").as_deref(), Some("https://other.example/t"));
    let told = problems(source);
    assert_eq!(told.iter().filter(|one| one.contains("`url` is missing")).count(), 2, "{told:?}");
}
