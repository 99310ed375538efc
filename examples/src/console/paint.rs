/// Whether and how text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// As it is: for files and pipes.
    Plain,
    /// With ANSI colours: for terminals.
    Colour,
}

impl Paint {
    /// Headings and what to click.
    pub fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    /// What is only there for who looks for it.
    pub fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    /// What went well.
    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// What deserves a look.
    pub fn odd(self, text: &str) -> String {
        self.with("33", text)
    }

    /// What went wrong.
    pub fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    /// Where to go.
    pub fn place(self, text: &str) -> String {
        self.with("36", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}
