//! One linear pass over the text of a document, before it is parsed.
//!
//! The parser is recursive and backtracks, so it must only get text with bounded tokens, nesting and names, and with
//! closed strings: an open block string makes it read to the end of the text repeatedly.
//!
//! Tokens are split exactly where the parser splits them (`-1-1` is two numbers, and so is `00`), so that the count
//! cannot be evaded. A comment counts as one token, because the parser skips it repeatedly. Each byte that starts no
//! token counts as one; the parser refuses it later.

use async_graphql::Pos;

use crate::platform::error::Code;

/// Longest name of a field, argument, type and so on, in bytes. Error messages repeat names.
const NAME_BYTES: usize = 256;

/// Why the text must not reach the parser.
#[derive(Debug)]
pub(super) struct Problem {
    /// `GRAPHQL_PARSE_FAILED` or `QUERY_TOO_COMPLEX`.
    pub(super) code: Code,
    /// Sent to the client.
    pub(super) message: String,
    pub(super) position: Pos,
}

/// Counts the tokens of `text`. Refuses more than `max_tokens` tokens or `max_nesting` brackets open at once.
pub(super) fn scan(text: &str, max_tokens: usize, max_nesting: usize) -> Result<usize, Problem> {
    let bytes = text.as_bytes();
    let problem = |code, message, at| Err(Problem { code, message, position: position(text, at) });
    let (mut at, mut tokens, mut nesting) = (0, 0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        let start = at;
        at += match byte {
            b' ' | b',' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'#' => count(&bytes[at..], |byte| !matches!(byte, b'\n' | b'\r')),
            0xEF if bytes[at..].starts_with("\u{feff}".as_bytes()) => {
                at += 3;
                continue;
            }
            b'_' | b'A'..=b'Z' | b'a'..=b'z' => count(&bytes[at..], is_name),
            b'-' | b'0'..=b'9' => number(&bytes[at..]),
            b'"' => match string(&bytes[at..]) {
                Some(length) => length,
                None => return problem(Code::ParseFailed, "a string is not closed".to_owned(), start),
            },
            b'.' if bytes[at..].starts_with(b"...") => 3,
            b'(' | b'[' | b'{' => {
                nesting += 1;
                1
            }
            b')' | b']' | b'}' => {
                nesting = nesting.saturating_sub(1);
                1
            }
            _ => 1,
        };
        tokens += 1;
        if tokens > max_tokens {
            return problem(Code::QueryTooComplex, format!("the document has more than {max_tokens} tokens"), start);
        }
        if nesting > max_nesting {
            return problem(Code::QueryTooComplex, format!("brackets nest more than {max_nesting} deep"), start);
        }
        if is_name(bytes[start]) && at - start > NAME_BYTES {
            return problem(Code::QueryTooComplex, format!("a name is longer than {NAME_BYTES} bytes"), start);
        }
    }
    Ok(tokens)
}

fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn count(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| belongs(**byte)).count()
}

/// Length of the number at the start of `bytes`: `-? (0 | [1-9][0-9]*) (\. [0-9]+)? ([eE] [+-]? [0-9]+)?`.
fn number(bytes: &[u8]) -> usize {
    let digits = |from: usize| count(bytes.get(from..).unwrap_or_default(), |byte| byte.is_ascii_digit());
    let mut end = usize::from(bytes[0] == b'-');
    end += if bytes.get(end) == Some(&b'0') { 1 } else { digits(end) };
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end.max(1)
}

/// Length of the string or block string at the start of `bytes`; `None` when it is not closed.
fn string(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"\"\"\"") {
        let mut at = 3;
        loop {
            let rest = &bytes[at..];
            if rest.starts_with(b"\"\"\"") {
                return Some(at + 3);
            }
            at += if rest.starts_with(b"\\\"\"\"") { 4 } else { 1 };
            if at >= bytes.len() {
                return None;
            }
        }
    }
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\n' | b'\r' => return None,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Line and column of the byte at `at`, both counted from 1.
fn position(text: &str, at: usize) -> Pos {
    let before = &text.as_bytes()[..at];
    let mut lines = before.split(|byte| *byte == b'\n');
    let last = lines.next_back().unwrap_or_default();
    Pos { line: lines.count() + 1, column: String::from_utf8_lossy(last).chars().count() + 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &str) -> usize {
        scan(text, usize::MAX, usize::MAX).map_err(|problem| problem.message).expect("closed strings")
    }

    #[test]
    fn tokens_are_split_where_the_parser_splits_them() {
        assert_eq!(tokens(""), 0);
        assert_eq!(tokens("{a}"), 3);
        assert_eq!(tokens("\u{feff}query Q($x: [Int!]! = 1) @d { a: b(c: $x) ...F }"), 29);
        assert_eq!(tokens("[-1-1 00 1.5e-3 1.x 1e]"), 12);
        assert_eq!(tokens(r#""" "a\"b" """x " "" \""" y""""#), 3);
        assert_eq!(tokens("# only { comments ,,,\n# more"), 2);
        assert_eq!(tokens("....§"), 4); // spread, dot, and one for each byte of §
    }

    #[test]
    fn an_open_string_is_reported_at_its_start() {
        for text in ["{\n  á: \"open}", "{\n  a: \"\"\"open\"\"}", "{\n  a: \"\nclosed\"}"] {
            let problem = scan(text, 100, 100).expect_err("open string");
            assert_eq!((problem.code, problem.position), (Code::ParseFailed, Pos { line: 2, column: 6 }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_scanned_without_panic_and_with_at_most_a_token_a_byte(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let text = String::from_utf8_lossy(&bytes);
            if let Ok(tokens) = scan(&text, usize::MAX, usize::MAX) {
                prop_assert!(tokens <= text.len());
            }
        }

        #[test]
        fn text_that_resembles_graphql_is_scanned_without_panic(text in r#"[ ,{}()\[\]a0.1e\-"\\\n#$:!@|&=]{0,80}"#) {
            let _ = scan(&text, 50, 10);
        }
    }
}
