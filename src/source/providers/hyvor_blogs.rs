//! Hyvor Blogs.
//!
//! github.com/hyvor/hyvor-blogs-symfony (receiver), hyvor/blogs WebhookDeliveryService.php.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "hyvor-blogs",
        page: "https://github.com/hyvor/hyvor-blogs-symfony",
        setup: &[
            "In the console of your blog open Settings > Webhooks and create a webhook.",
            "Give it the address {url}, and choose the events.",
            "Copy its secret into {secret}.",
        ],
        vector: Some("hyvor-blogs-symfony"),
        rows: vec![Row { places: vec![header("x-signature")], ..HEX_OF_BODY }],
        event_type: vec![json("event")],
        data_root: DataRoot::Data,
        samples: &[
            (
                &["post.created", "post.updated", "post.deleted"],
                include_str!("../samples/hyvor-blogs-post.json"),
            ),
            (&["cache.single"], include_str!("../samples/hyvor-blogs-cache.json")),
        ],
        ..PLAIN
    }
}
