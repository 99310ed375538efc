//! What a `Cargo.toml` depends on.

/// One line of a dependency table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    /// From `[dev-dependencies]`.
    pub(crate) only_tests: bool,
}

/// Reads the dependency tables, `[target.….dependencies]` and `[dependencies.name]` included.
pub(crate) fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    let mut table = None;
    for (number, line) in manifest.lines().enumerate() {
        let line_number = number + 1;
        let text = line.trim();
        if let Some(header) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let (kind, name) = dependency_table(header);
            table = kind.filter(|_| name.is_none());
            if let (Some(only_tests), Some(name)) = (kind, name) {
                found.push(Dependency {
                    name,
                    line: line_number,
                    only_tests,
                });
            }
            continue;
        }
        let is_key = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        let length = text.find(|c| !is_key(c)).unwrap_or(text.len());
        if let (Some(only_tests), true) = (table, length > 0 && text.contains('=')) {
            found.push(Dependency {
                name: &text[..length],
                line: line_number,
                only_tests,
            });
        }
    }
    found
}

/// Whether a header opens dependencies (and if so, whether those of tests), and of which crate
/// alone.
fn dependency_table(header: &str) -> (Option<bool>, Option<&str>) {
    let kinds = [
        ("dev-dependencies", true),
        ("build-dependencies", false),
        ("dependencies", false),
    ];
    for (kind, only_tests) in kinds {
        if header == kind || (header.starts_with("target.") && header.ends_with(kind)) {
            return (Some(only_tests), None);
        }
        if let Some(name) = header
            .strip_prefix(kind)
            .and_then(|rest| rest.strip_prefix('.'))
        {
            return (Some(only_tests), Some(name));
        }
    }
    (None, None)
}

#[test]
fn dependencies_are_read() {
    let manifest = r#"
[package]
name = "x"
[dependencies]
a.workspace = true
# b = "1"
c = { version = "1", features = [
    "d",
] }
[target.'cfg(unix)'.dependencies]
e="1"
[dev-dependencies]
f = "1"
[dependencies.g]
version = "1"
"#;
    let found = dependencies(manifest);
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.name, one.line, one.only_tests))
        .collect();
    assert_eq!(
        found,
        [
            ("a", 5, false),
            ("c", 7, false),
            ("e", 11, false),
            ("f", 13, true),
            ("g", 14, false)
        ]
    );
}
