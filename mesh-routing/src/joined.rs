//! Texts put together from pieces, without the heap as long as they are short.

/// Texts of up to so many bytes are put together on the stack.
pub(crate) const ON_STACK: usize = 1024;

/// Looks at the pieces as one text.
pub(crate) fn joined<'a, I, R>(pieces: impl Fn() -> I, look: impl FnOnce(&str) -> R) -> R
where
    I: Iterator<Item = &'a str>,
{
    let mut stack = [0_u8; ON_STACK];
    let mut len = 0;
    for piece in pieces() {
        let Some(place) = stack.get_mut(len..len + piece.len()) else {
            return look(&pieces().collect::<String>());
        };
        place.copy_from_slice(piece.as_bytes());
        len += piece.len();
    }
    look(str::from_utf8(&stack[..len]).expect("texts in a row are a text"))
}

/// Looks at a text in lower case.
pub(crate) fn in_lower_case<R>(text: &str, look: impl FnOnce(&str) -> R) -> R {
    if !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return look(text);
    }
    let mut stack = [0_u8; ON_STACK];
    let Some(place) = stack.get_mut(..text.len()) else {
        return look(&text.to_ascii_lowercase());
    };
    place.copy_from_slice(text.as_bytes());
    place.make_ascii_lowercase();
    look(str::from_utf8(place).expect("letters of ASCII change in place"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long() {
        for len in [0, 1, ON_STACK - 1, ON_STACK, ON_STACK + 1] {
            let text = "Ä".repeat(len / 2) + &"B".repeat(len % 2);
            let (a, b) = text.split_at(text.len() / 4 * 2);
            joined(|| [a, b].into_iter(), |whole| assert_eq!(whole, text));
            in_lower_case(&text, |lower| assert_eq!(lower, text.to_ascii_lowercase()));
        }
    }
}
