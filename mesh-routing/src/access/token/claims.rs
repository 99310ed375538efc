use serde_json::{Map, Value};

/// What a verified token says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims {
    payload: Map<String, Value>,
    spaced: Box<[String]>,
}

impl Claims {
    /// Claims that are lists of words where no RequestAuthentication says otherwise.
    pub const SPACE_DELIMITED: [&str; 2] = ["permission", "scope"];

    /// The payload of a token that was verified. `space_delimited` are claims whose text is a list
    /// of words, such as `scope` (RFC 8693, section 4.2).
    pub fn new(payload: Map<String, Value>, space_delimited: &[String]) -> Self {
        Self {
            payload,
            spaced: space_delimited.into(),
        }
    }

    /// `issuer/subject`, as policies name who bears the token; none if it does not say both.
    pub fn principal(&self) -> Option<String> {
        let text = |claim: &str| self.payload.get(claim).and_then(Value::as_str);
        Some(format!("{}/{}", text("iss")?, text("sub")?))
    }

    /// A claim by the names that lead to it through nested objects.
    pub fn value<S: AsRef<str>>(&self, path: &[S]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter()
            .try_fold(self.payload.get(first.as_ref())?, |value, name| {
                value.as_object()?.get(name.as_ref())
            })
    }

    /// Whether a test holds for a claim's text, or for one text of its list. What is neither meets
    /// no test.
    pub fn any<S: AsRef<str>>(&self, path: &[S], test: impl FnMut(&str) -> bool) -> bool {
        match self.value(path) {
            Some(Value::String(words)) if self.is_spaced(path) => {
                words.split(' ').filter(|word| !word.is_empty()).any(test)
            }
            Some(Value::String(text)) => [&**text].into_iter().any(test),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(test),
            _ => false,
        }
    }

    fn is_spaced<S: AsRef<str>>(&self, path: &[S]) -> bool {
        let [name] = path else { return false };
        self.spaced.iter().any(|spaced| spaced == name.as_ref())
    }
}
