//! Pages from end to end are tested by `tests/it/pages`; here is what needs no server.

use super::Page;

#[test]
fn no_template_makes_anything_inline_or_unescaped() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pages/templates");
    let mut n_templates = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for forbidden in
            ["style=", "onclick", "|safe", "| safe", "<style", "javascript:", "http://"]
        {
            assert!(!text.contains(forbidden), "{}: {forbidden}", path.display());
        }
        n_templates += 1;
    }
    assert!(n_templates > 10, "{n_templates}");
}

#[test]
fn every_form_posts_to_a_change_that_there_is() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pages/templates");
    let mut n_forms = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let forms = text.split("<form").skip(1);
        for form in forms.filter(|form| !form.starts_with(" method=\"dialog\"")) {
            let action = form.split("action=\"").nth(1).unwrap().split('"').next().unwrap();
            let head = form.split('>').next().unwrap();
            if !head.contains("method=\"post\"") || action == "/login" || action == "/logout" {
                continue;
            }
            let id = "0199c3f6-5b5e-7000-8000-000000000001";
            let action = action
                .replace("{{ id }}", id)
                .replace("{{ request.number }}", "7")
                .replace("{{ number }}", "7")
                .replace("{{ one.number }}", "7");
            let mut path = String::new();
            let mut rest = action.as_str();
            while let Some((before, after)) = rest.split_once("{{") {
                path.push_str(before);
                path.push('x');
                rest = after.split_once("}}").unwrap().1;
            }
            path.push_str(rest);
            let page = Page::parse(&path);
            assert!(page.is_some_and(|page| page.is_change()), "{path}");
            n_forms += 1;
        }
    }
    assert!(n_forms >= 9, "{n_forms}");
}
