//! Headers, copies and attachments of the owner's own.

use super::*;

const MORE: &str = r#"
cc = "data.team"
bcc = ["archive@example.com"]
reply_to = "data.mail"
[headers]
X-Page = "{{ data.page }}"
In-Reply-To = "<{{ data.thread }}@example.com>"
List-Id = "Comments <comments.example.com>"
X-Empty = "{{ data.nothing }}"
"#;

fn with_more(team: &serde_json::Value, mail: &str) -> Delivery {
    let data = json!({"page": "Gr\u{fc}\u{df}e\r\nBcc: x@example.net", "name": "Ann", "body": "b",
        "mail": mail, "thread": 7, "team": team});
    numbered(1, json!({ "data": data }).to_string())
}

#[test]
fn answers_copies_and_headers_of_the_owners_own_are_written() {
    let text = format!("{MAIL}{MORE}");
    let mails = write(
        &text,
        &[with_more(&json!(["a@example.com", "owner@example.com"]), "Ann <ann@example.org>")],
    );
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    let envelope: Vec<String> = mail.envelope.to().iter().map(ToString::to_string).collect();
    let expected =
        ["owner@example.com", "edith@example.com", "a@example.com", "archive@example.com"];
    assert_eq!(envelope, expected, "each once");
    let read = parse(mail);
    assert!(read.bcc().is_none() && !String::from_utf8_lossy(&mail.bytes).contains("archive@"));
    assert_eq!(read.cc().unwrap().iter().count(), 2);
    assert_eq!(read.reply_to().unwrap().first().unwrap().address(), Some("ann@example.org"));
    let header = |name: &str| {
        let value = read.header(name).and_then(|value| value.as_text());
        value.unwrap_or("-").to_owned()
    };
    // Encoded, and on one line.
    assert_eq!(header("X-Page"), "=?utf-8?b?R3LDvMOfZQ==?= Bcc: x@example.net");
    assert_eq!(header("In-Reply-To"), "7@example.com");
    assert!(read.header_raw("List-Id").unwrap().contains("<comments.example.com>"));
    assert_eq!(header("X-Empty"), "-");
    assert_eq!(header("Auto-Submitted"), "auto-generated");
    // A reply address that is none is left out; a reader who is none is told.
    let mails = write(&text, &[with_more(&json!([]), "nobody")]);
    assert!(parse(&mails[0]).reply_to().is_none() && parse(&mails[0]).cc().is_none());
    // So is one that goes into no line of plain ASCII.
    let mails = write(&text, &[with_more(&json!([]), "\u{fc}@example.com")]);
    assert!(mails[0].bytes.is_ascii() && parse(&mails[0]).reply_to().is_none());
    let composed = try_compose(&text, &[with_more(&json!("nobody"), "")]).unwrap();
    assert!(parse(&composed.mails[0]).cc().is_none());
    assert_eq!(composed.unfit[&id(1)][0].to_string(), "`nobody` (in `cc`: no mail address)");
}

#[test]
fn mail_without_a_word_is_none() {
    let text = MAIL.replace("subject = ", "subject = '{{ data.nothing }}' # ");
    let text = text.replace("text = ", "text = '{% if data.nothing %}x{% endif %}' # ");
    assert!(write(&text, &[comment(1, "x")]).is_empty());
    assert_eq!(write(&format!("{text}\nattach_body = true"), &[comment(1, "x")]).len(), 1);
    assert_eq!(write(&text.replace("'{{ data.nothing }}'", "'New'"), &[comment(1, "x")]).len(), 1);
}

#[test]
fn list_id_names_the_handler() {
    let mails = write(MAIL, &[comment(1, "x")]);
    assert_eq!(parse(&mails[0]).header_raw("List-Id").unwrap().trim(), "<test.example.com>");
}

#[test]
fn digest_answers_to_nobody_where_its_events_differ() {
    let text = format!("{MAIL}reply_to = \"data.mail\"");
    let from = |number, mail: &str| {
        let data = json!({"page": "P", "name": "N", "body": "b", "mail": mail});
        numbered(number, json!({ "data": data }).to_string())
    };
    let same = write(&text, &[from(1, "a@example.org"), from(2, "a@example.org")]);
    assert_eq!(parse(&same[0]).reply_to().unwrap().iter().count(), 1);
    let mixed = write(&text, &[from(1, "a@example.org"), from(2, "b@example.org")]);
    assert!(parse(&mixed[0]).reply_to().is_none());
}

#[test]
fn raw_body_is_attached_byte_for_byte() {
    let text = format!("{MAIL}attach_body = true\nhtml = \"<p>x</p>\"");
    let body = "{\"data\":{\"body\":\"caf\\u00e9\"}}\n\n";
    let mails = write(&text, &[numbered(1, body), numbered(2, body)]);
    let read = parse(&mails[0]);
    let attached: Vec<_> = read.attachments().collect();
    assert_eq!(attached.len(), 2);
    assert_eq!(attached[0].contents(), body.as_bytes());
    assert_eq!(attached[0].attachment_name(), Some("event-000000000001.json"));
    assert_eq!(attached[0].content_type().unwrap().subtype(), Some("json"));
    assert_eq!((read.text_body_count(), read.html_body_count()), (1, 1));

    let large = "x".repeat(6 << 20);
    let events: Vec<Delivery> = (1..=3).map(|number| numbered(number, &large)).collect();
    let text = text.replace("{{ data.body }}", "{{ event.id }}").replace("{{ data.name }}", "");
    let mails = write(&text.replace("{{ data.page }}", "-"), &events);
    let read = parse(&mails[0]);
    assert_eq!(read.attachments().count(), 1);
    let told = read.body_text(0).unwrap();
    assert!(told.trim_end().ends_with("2 bodies are too large to be attached."), "{told}");
}

#[test]
fn comma_may_stand_within_a_readers_name() {
    let to = |to: serde_json::Value| {
        numbered(1, json!({"data": json!({"body": "x", "to": to})}).to_string())
    };
    let text = to_expression("data.to");
    // A comma within a name, as people have it in their address books.
    let to_two =
        json!("M\u{fc}ller, Hans <h@example.org>; b@example.org, B@EXAMPLE.org, b@EXAMPLE.ORG");
    let composed = try_compose(&text, &[to(to_two)]).unwrap();
    assert!(composed.unfit.is_empty(), "{:?}", composed.unfit);
    let envelope: Vec<String> =
        composed.mails[0].envelope.to().iter().map(ToString::to_string).collect();
    assert_eq!(envelope.len(), 3, "a domain is the same however it is written: {envelope:?}");
    let names =
        parse(&composed.mails[0]).to().unwrap().iter().find_map(|to| to.name().map(str::to_owned));
    assert_eq!(names.as_deref(), Some("M\u{fc}ller, Hans"));
    let composed = try_compose(&text, &[to(json!("sales; Bob <bob@example.org>"))]).unwrap();
    assert_eq!(composed.unfit[&id(1)].len(), 1, "a semicolon stands in no name");
}
