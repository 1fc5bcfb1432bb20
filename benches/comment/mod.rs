//! The event that measurements are made with.

/// A comment of some length as Hyvor Talk sends it: 1 KB.
pub(crate) fn comment(number: usize, status: &str) -> String {
    format!(
        r#"{{"event":"comment.create","data":{{"comment":{{"id":{number},"created_at":1700000000,"user":{{"type":"guest","name":"Ann {number}"}},"page":{{"identifier":"post-1","title":"My Post"}},"body":"{}","status":"{status}"}}}}}}"#,
        words()
    )
}

/// About as much as people write.
pub(crate) fn words() -> String {
    "A comment of a few words, as they are. ".repeat(21)
}
