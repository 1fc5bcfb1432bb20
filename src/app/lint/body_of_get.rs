//! `http` that sends a body by GET.

use super::Lint;

impl Lint<'_> {
    /// RFC 9110, 9.3.1: such a body has no meaning, and many servers and proxies drop it.
    pub(super) fn body_of_get(&mut self) {
        let key = |name: &str| format!("handler.{}.http.{name}", self.name);
        let (method_key, body_key) = (key("method"), key("body"));
        let keys = self.config.keys();
        let value_of = |wanted: &str| {
            let found = keys.iter().find(|(key, _)| key == wanted);
            found.map(|(_, value)| value.trim_matches('"').to_owned())
        };
        let Some(method) = value_of(&method_key) else { return };
        if method == "GET" && value_of(&body_key).is_some_and(|body| !body.is_empty()) {
            let message = "many servers and proxies drop the body of a GET".to_owned();
            let help =
                "leave `body` out and say in `url` what is meant, or write `method = \"POST\"`";
            self.warn(&body_key, "", message, help.to_owned());
        }
    }
}
