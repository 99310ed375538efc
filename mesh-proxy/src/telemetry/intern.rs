use std::{
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    rc::Rc,
};

/// A value that one worker knows by a small number: equal values have equal numbers, so comparing
/// and hashing costs the same whatever the value's size.
pub struct Interned<T> {
    id: u32,
    value: Rc<T>,
}

/// Gives out the numbers. Bounded: beyond its limit everything new is the default value, so that
/// what strangers send cannot make it grow.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    known: HashMap<Rc<T>, Interned<T>>,
    limit: usize,
}

impl<T: Eq + Hash + Default> Interner<T> {
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self {
            known: HashMap::new(),
            limit,
        }
    }

    pub(crate) fn intern(&mut self, value: T) -> Interned<T> {
        if let Some(known) = self.known.get(&value) {
            return known.clone();
        }
        if self.known.len() >= self.limit && value != T::default() {
            return self.intern(T::default());
        }
        let id = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let value = Rc::new(value);
        let interned = Interned {
            id,
            value: value.clone(),
        };
        self.known.insert(value, interned.clone());
        interned
    }
}

impl<T> Deref for Interned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Clone for Interned<T> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            value: self.value.clone(),
        }
    }
}

impl<T> PartialEq for Interned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<T> Eq for Interned<T> {}

impl<T> Hash for Interned<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.id);
    }
}

impl<T: fmt::Debug> fmt::Debug for Interned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.value, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_strangers_are_bounded() {
        let mut interner = Interner::with_limit(2);
        let (a, b) = (
            interner.intern("a".to_owned()),
            interner.intern("b".to_owned()),
        );
        assert_eq!(a, interner.intern("a".to_owned()));
        assert_ne!(a, b);
        assert_eq!(*interner.intern("c".to_owned()), "");
        assert_eq!(
            interner.intern("c".to_owned()),
            interner.intern("d".to_owned())
        );
    }
}
