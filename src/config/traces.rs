//! `[traces]`.

use url::Url;

use crate::settings::Table;

/// Where the spans of events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracesSettings {
    /// The collector's address, without the path of traces.
    pub endpoint: Url,
    /// What the collector calls this program.
    pub service: String,
}

/// The path of traces (OTLP over HTTP).
const PATH: &str = "/v1/traces";

impl TracesSettings {
    /// Where spans are posted.
    pub fn address(&self) -> Url {
        let mut address = self.endpoint.clone();
        let path = address.path().trim_end_matches('/');
        if !path.ends_with(PATH) {
            let path = format!("{path}{PATH}");
            address.set_path(&path);
        }
        address
    }
}

/// Reads `[traces]`; nothing where the table is not there.
pub(super) fn read(root: &mut Table<'_>) -> Option<TracesSettings> {
    let mut table = root.table("traces")?;
    if !cfg!(feature = "otel") {
        let help = "take one with the feature `otel`, or leave the table out";
        table.problem_here("this program was built without traces", help);
    }
    let endpoint = table.require::<String>("endpoint");
    let endpoint = endpoint.and_then(|text| match check_endpoint(&text) {
        Ok(endpoint) => Some(endpoint),
        Err(message) => {
            // There may be a password in it.
            table.hide("endpoint");
            table.problem(
                "endpoint",
                message,
                "for example `endpoint = \"http://127.0.0.1:4318\"`",
            );
            None
        }
    });
    let service = table.take_or("service", "gatepost".to_owned());
    table.finish();
    Some(TracesSettings { endpoint: endpoint?, service })
}

fn check_endpoint(text: &str) -> Result<Url, &'static str> {
    let url: Url =
        text.parse().map_err(|_| "this is no address, as in \"http://127.0.0.1:4318\"")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("a collector is reached by http or https, as in \"http://127.0.0.1:4318\"");
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err("neither a user nor a query belongs into the address of a collector");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_traces_is_added_where_it_is_missing() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://c.example/otlp/", "https://c.example/otlp/v1/traces"),
            ("https://c.example/v1/traces", "https://c.example/v1/traces"),
        ] {
            let endpoint = check_endpoint(endpoint).unwrap();
            let settings = TracesSettings { endpoint, service: "x".to_owned() };
            assert_eq!(settings.address().as_str(), expected);
        }
        for wrong in
            ["", "127.0.0.1:4318", "ftp://c.example", "http://u:p@c.example", "http://c/?x"]
        {
            assert!(check_endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
