//! Style, script and icon, within the program. An asset's address holds a checksum of its content, so
//! that a browser keeps it for ever and never has an old one.

use std::sync::LazyLock;

/// A file that pages refer to.
#[derive(Debug)]
pub struct Asset {
    pub path: String,
    pub content_type: &'static str,
    pub body: &'static [u8],
}

impl Asset {
    fn new(name: &str, kind: &str, content_type: &'static str, body: &'static [u8]) -> Self {
        let path = format!("/assets/{name}.{:08x}.{kind}", crc32c::crc32c(body));
        Self { path, content_type, body }
    }
}

pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("pages", "css", "text/css; charset=utf-8", include_bytes!("assets/pages.css"))
});
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_bytes!("assets/pages.js");
    Asset::new("pages", "js", "text/javascript; charset=utf-8", body)
});
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_bytes!("assets/icon.svg")));

/// The asset at `path`.
pub fn asset(path: &str) -> Option<&'static Asset> {
    let all: [&'static Asset; 3] = [&STYLE, &SCRIPT, &ICON];
    all.into_iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_stay_small() {
        assert!(STYLE.body.len() <= 12 << 10, "{}", STYLE.body.len());
        assert!(SCRIPT.body.len() <= 6 << 10, "{}", SCRIPT.body.len());
    }
}
