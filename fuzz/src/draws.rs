/// Choices read from fuzz input; the first of every kind once the input has run out.
pub(crate) struct Draws<'a>(pub(crate) &'a [u8]);

impl Draws<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of the numbers below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(first) % limit
    }

    pub(crate) fn bool(&mut self) -> bool {
        self.below(2) == 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A short list, more often empty than not.
    pub(crate) fn few<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let length = self.pick(&[0, 0, 0, 1, 1, 2]);
        (0..length).map(|_| one(self)).collect()
    }
}
