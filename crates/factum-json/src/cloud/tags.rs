//! Tags as one attribute: joined with commas. A comma inside a tag is written `%2C`, and a `%2C` or `%25` inside a tag `%252C`, `%2525`.

use factum_types::{RecordedEvent, Tag, limits};

/// The key of the tag that a server adds to an event of a conversation (decision 0030).
const CONVERSATION: &str = "$correlationId";

/// The tags as one text.
pub(super) fn join(tags: &[Tag]) -> String {
    let mut joined = String::new();
    for (index, tag) in tags.iter().enumerate() {
        if index > 0 {
            joined.push(',');
        }
        let text = tag.as_str();
        if text.contains([',', '%']) {
            joined.push_str(
                &text
                    .replace("%25", "%2525")
                    .replace("%2C", "%252C")
                    .replace(',', "%2C"),
            );
        } else {
            joined.push_str(text);
        }
    }
    joined
}

/// The tags in a text that [`join`] would give back the same; `None` for any other text.
pub(super) fn split(joined: &str) -> Option<Vec<Tag>> {
    let mut tags: Vec<Tag> = Vec::new();
    for text in joined.split(',') {
        let text = if text.contains('%') {
            text.replace("%2C", ",").replace("%25", "%")
        } else {
            text.to_owned()
        };
        let tag = Tag::new(text).ok()?;
        if tags.contains(&tag) || tags.len() == limits::EVENT_TAGS_MAX {
            return None;
        }
        tags.push(tag);
    }
    (join(&tags) == joined).then_some(tags)
}

/// Whether the tags say nothing that the correlation id of the event does not say: there are none, or only the one that a server made of it.
pub(super) fn are_of_conversation(event: &RecordedEvent) -> bool {
    let id = event.metadata.correlation_id.as_deref();
    event.tags.iter().all(|tag| {
        let after = tag.as_str().strip_prefix(CONVERSATION);
        let named = after.and_then(|rest| rest.strip_prefix(':'));
        named.is_some() && named == id
    })
}

#[cfg(test)]
mod tests {
    use factum_types::Tag;

    use super::{join, split};

    #[test]
    fn tags_come_back() {
        let check = |tags: &[&str], joined: &str| {
            let tags: Vec<Tag> = tags.iter().map(|tag| Tag::new(tag).unwrap()).collect();
            assert_eq!(join(&tags), joined);
            assert_eq!(split(joined), Some(tags), "{joined}");
        };
        check(&["order:1"], "order:1");
        check(&["order:1", "customer:a b"], "order:1,customer:a b");
        check(&["x:1,2", "y:50%"], "x:1%2C2,y:50%");
        check(&["x:%2C"], "x:%252C");
    }

    #[test]
    fn what_is_not_tags_stays_what_it_is() {
        for text in ["", "red", "a:1,,b:2", "a:1,a:1", "a:1, b", "a:%25"] {
            assert_eq!(split(text), None, "{text}");
        }
    }
}
