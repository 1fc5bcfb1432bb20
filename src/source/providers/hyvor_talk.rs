//! Hyvor Talk.
//!
//! <https://talk.hyvor.com/docs/webhooks>.

use super::prelude::*;

const VOTES: [&str; 6] = [
    "comment.vote.created",
    "comment.vote.updated",
    "comment.vote.deleted",
    "vote.created",
    "vote.updated",
    "vote.deleted",
];

pub(super) fn provider() -> Provider {
    Provider {
        name: "hyvor-talk",
        page: "https://talk.hyvor.com/docs/webhooks",
        setup: &[
            "In the console of your website open Settings > Webhooks and create a webhook.",
            "Give it the address {url}, and choose the events.",
            "Generate a secret key there, without which nothing is signed, and put it into {secret}.",
        ],
        vector: Some("hyvor-blogs-symfony"),
        rows: vec![Row { places: vec![header("x-signature")], ..HEX_OF_BODY }],
        event_type: vec![json("event")],
        data_root: DataRoot::Data,
        samples: &[
            (
                &["comment.create", "comment.update", "comment.delete"],
                include_str!("../samples/hyvor-talk-comment.json"),
            ),
            (
                &["comment.flag.created", "comment.flag.deleted", "flag.created", "flag.deleted"],
                include_str!("../samples/hyvor-talk-flag.json"),
            ),
            (&VOTES, include_str!("../samples/hyvor-talk-vote.json")),
            (
                &["rating.created", "rating.updated", "rating.deleted"],
                include_str!("../samples/hyvor-talk-rating.json"),
            ),
            (
                &["reaction.created", "reaction.updated", "reaction.deleted"],
                include_str!("../samples/hyvor-talk-reaction.json"),
            ),
            (
                &[
                    "newsletter.subscriber.created",
                    "newsletter.subscriber.updated",
                    "newsletter.subscriber.deleted",
                ],
                include_str!("../samples/hyvor-talk-subscriber.json"),
            ),
            (
                &[
                    "memberships.subscription.created",
                    "memberships.subscription.updated",
                    "memberships.subscription.deleted",
                ],
                include_str!("../samples/hyvor-talk-subscription.json"),
            ),
            (&["user.created", "user.updated"], include_str!("../samples/hyvor-talk-user.json")),
            (&["media.created", "media.deleted"], include_str!("../samples/hyvor-talk-media.json")),
        ],
        ..PLAIN
    }
}
