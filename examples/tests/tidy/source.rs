//! Rust text as the rules see it: without comments and literals, with and without tests.

/// One Rust file in two views, both with the lines as written.
pub(crate) struct Source {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// Comments and the contents of literals blanked.
    pub(crate) code: String,
    /// `code` with test items blanked as well: what ships.
    pub(crate) shipped: String,
}

impl Source {
    pub(crate) fn new(path: String, text: &str) -> Self {
        let code = blank_comments_and_literals(text);
        let shipped = blank_test_items(&code);
        Self {
            path,
            code,
            shipped,
        }
    }
}

/// Blanks comments, and what stands between quotes.
pub(crate) fn blank_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match literal_or_comment(&chars, at) {
            Some(end) => end.min(chars.len()),
            None => {
                out.push(chars[at]);
                at += 1;
                continue;
            }
        };
        out.extend(chars[at..end].iter().map(|&c| blank(c)));
        at = end;
    }
    out
}

/// The index after the comment or literal that begins at `at`, if one does.
fn literal_or_comment(chars: &[char], at: usize) -> Option<usize> {
    let next = |offset: usize| chars.get(at + offset).copied();
    let in_word = at > 0 && is_word(chars[at - 1]);
    match (chars[at], next(1)) {
        ('/', Some('/')) => Some(find(chars, at, |rest| rest[0] == '\n')),
        ('/', Some('*')) => Some(block_comment_end(chars, at)),
        ('"', _) => Some(string_end(chars, at + 1)),
        ('\'', Some('\\')) => Some(find(chars, at + 3, |rest| rest[0] == '\'') + 1),
        ('\'', Some(_)) if next(2) == Some('\'') => Some(at + 3),
        ('r', Some('"' | '#')) if !in_word => raw_string_end(chars, at + 1),
        ('b' | 'c', Some('r')) if !in_word => raw_string_end(chars, at + 2),
        _ => None,
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => depth += 1,
            ('*', Some('/')) => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `at` stands where the hashes of `r##"…"##` would begin. A raw identifier has no quote there.
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|&&c| c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let closes = |rest: &[char]| {
        rest[0] == '"' && rest[1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    Some(find(chars, at + hashes + 1, closes) + 1 + hashes)
}

fn find(chars: &[char], from: usize, stop: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len())
        .find(|&at| stop(&chars[at..]))
        .unwrap_or(chars.len())
}

/// Blanks every item behind `#[cfg(test)]`.
pub(crate) fn blank_test_items(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let (before, item) = rest.split_at(at);
        let (item, after) = item.split_at(item_len(item));
        out.push_str(before);
        out.extend(item.chars().map(blank));
        rest = after;
    }
    out + rest
}

/// The bytes up to the `;` or the closing brace that ends the item, its attributes included.
fn item_len(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in item.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (c == ';' || c == '}') {
            return at + 1;
        }
    }
    item.len()
}

fn blank(c: char) -> char {
    if c == '\n' { '\n' } else { ' ' }
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn comments_and_literals_are_blanked() {
    let check = |text: &str, want: &str| assert_eq!(blank_comments_and_literals(text), want);
    check("a // unsafe\nb", "a          \nb");
    check("a /* x /* y */ z */ b", "a                   b");
    check(r#"f("a\"b") + 1"#, "f(      ) + 1");
    check(r###"f(r#"a"b"#, x)"###, "f(        , x)");
    check(r#"f(b"ab")"#, "f(b    )");
    check("r#type(x)", "r#type(x)");
    check(r"x == '\'' || y", "x ==      || y");
    check(r#"'"' + "a""#, "    +    ");
    check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
    check("\"two\nlines\" x", "    \n       x");
}

#[test]
fn test_items_do_not_ship() {
    let check = |code: &str, want: &str| {
        let kept: String = blank_test_items(code).split_whitespace().collect();
        assert_eq!(kept, want, "{code}");
    };
    check(
        "a(); #[cfg(test)] mod tests { b(); { c() } } d()",
        "a();d()",
    );
    check("#[cfg(test)] mod tests; d()", "d()");
    check(
        "#[cfg(test)] #[path = 1] fn f(x: [u8; 4]) { g() } d()",
        "d()",
    );
    check("#[cfg(feature)] fn f() {}", "#[cfg(feature)]fnf(){}");
}
