//! Text from outside, made safe for a terminal.
//!
//! A name or a payload may hold escape sequences that move the cursor, recolour the screen or retitle the window, and characters
//! that turn the direction of text. All of these are shown as `\u{…}` instead of being obeyed (Trojan Source, CVE-2021-42574).

use std::borrow::Cow;

/// Whether a terminal would obey the character, or hide it.
pub(crate) const fn is_hostile(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1F}' | '\u{7F}'..='\u{9F}' | '\u{AD}' | '\u{61C}' | '\u{180E}'
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// `text` on one line without anything a terminal obeys.
pub(crate) fn cell(text: &str) -> Cow<'_, str> {
    escaped(text, is_hostile)
}

/// `text` without anything a terminal obeys but line breaks.
pub(crate) fn words(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_hostile(c))
}

fn escaped(text: &str, hostile: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            _ if !hostile(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            _ => safe.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::{cell, words};

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        let check = |text: &str, expected: &str| assert_eq!(cell(text), expected);
        check("plain größe ✓", "plain größe ✓");
        check("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m");
        check("a\tb\r\nc", "a\\tb\\r\\nc");
        check("order\u{202e}321", "order\\u{202e}321");
        check("csi\u{9b}2J", "csi\\u{9b}2J");
        check("zero\u{200b}width", "zero\\u{200b}width");
    }

    #[test]
    fn words_keep_their_lines() {
        assert_eq!(words("a\nb\u{7}"), "a\nb\\u{7}");
    }
}
