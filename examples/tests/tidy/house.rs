//! The repository as values: its files, its Rust sources and which of them ship, its manifests.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use crate::source::{Source, is_word};

/// Everything the rules look at.
pub(crate) struct House {
    /// Names of the folders at the root, dot-folders aside.
    pub(crate) folders: BTreeSet<String>,
    /// Every text file: its path from the root, and its text.
    pub(crate) texts: Vec<(String, String)>,
    /// Every Rust file.
    pub(crate) sources: Vec<Source>,
    /// Files under some `src` that no `mod` reaches.
    pub(crate) dead: Vec<String>,
    /// Files that only tests reach.
    pub(crate) only_tests: BTreeSet<String>,
}

/// Folders that builds and fuzzing make.
const BUILT: &[&str] = &["target", "fuzz/target", "fuzz/corpus", "fuzz/artifacts"];

const OUR_DOT_FOLDERS: &[&str] = &[".cargo", ".ci"];

pub(crate) static HOUSE: LazyLock<House> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    House::read(&root)
});

impl House {
    fn read(root: &Path) -> Self {
        let mut files = Vec::new();
        walk(root, root, &mut files);
        let texts: Vec<_> = files
            .into_iter()
            .filter_map(|path| Some((slashed(root, &path), fs::read_to_string(path).ok()?)))
            .collect();
        let sources = texts
            .iter()
            .filter(|(path, _)| path.ends_with(".rs"))
            .map(|(path, text)| Source::new(path.clone(), text))
            .collect();
        let folders = texts
            .iter()
            .filter_map(|(path, _)| Some(path.split_once('/')?.0.to_owned()))
            .filter(|folder| !folder.starts_with('.'))
            .collect();
        Self::sort(folders, texts, sources)
    }

    fn sort(folders: BTreeSet<String>, texts: Vec<(String, String)>, sources: Vec<Source>) -> Self {
        let reached = reach(&sources, |source| &source.code);
        let shipping = reach(&sources, |source| &source.shipped);
        let dead = sources
            .iter()
            .map(|source| source.path.clone())
            .filter(|path| path.contains("/src/") && !reached.contains(path))
            .collect();
        let only_tests = reached.difference(&shipping).cloned().collect();
        Self {
            folders,
            texts,
            sources,
            dead,
            only_tests,
        }
    }

    /// Rust files that are not tests or benches from end to end.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = &Source> {
        self.sources
            .iter()
            .filter(|source| {
                !["/tests/", "/benches/"]
                    .iter()
                    .any(|part| source.path.contains(part))
            })
            .filter(|source| !self.only_tests.contains(&source.path))
    }

    /// Whether there is such a file or folder.
    pub(crate) fn has(&self, place: &str) -> bool {
        self.texts.iter().any(|(path, _)| is_below(path, place))
    }

    /// The text of one file, empty if there is none.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.texts
            .iter()
            .find(|(found, _)| found == path)
            .map_or("", |(_, text)| text)
    }
}

/// Whether a path is `folder` itself or below it.
pub(crate) fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The segments of a file's module below its crate: `mesh-core/src/plan/mod.rs` is `["plan"]`.
pub(crate) fn module_of(path: &str) -> Vec<&str> {
    let below = path.split_once("/src/").map_or(path, |(_, below)| below);
    let mut segments: Vec<_> = below.trim_end_matches(".rs").split('/').collect();
    if let Some(&("mod" | "lib" | "main")) = segments.last() {
        segments.pop();
    }
    segments
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = slashed(root, &path);
        match path.is_dir() {
            true if is_ours(&name, &path) => walk(root, &path, files),
            true => {}
            false => files.push(path),
        }
    }
}

/// Cargo marks the folders it builds in; dot-folders belong to editors and version control.
fn is_ours(name: &str, path: &Path) -> bool {
    let is_built = path.join("CACHEDIR.TAG").exists() || BUILT.contains(&name);
    !is_built && (!name.starts_with('.') || OUR_DOT_FOLDERS.contains(&name))
}

fn slashed(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// The files that the `mod` declarations in one view lead to, from the roots of the crates.
fn reach(sources: &[Source], view: fn(&Source) -> &String) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<_> = sources
        .iter()
        .filter(|source| is_root(&source.path))
        .collect();
    while let Some(source) = waiting.pop() {
        if !reached.insert(source.path.clone()) {
            continue;
        }
        for name in declared(view(source)) {
            let wanted = candidates(&source.path, name);
            waiting.extend(sources.iter().filter(|one| wanted.contains(&one.path)));
        }
    }
    reached
}

/// A library, a program, or a program in a folder of its own.
fn is_root(path: &str) -> bool {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
    match file {
        "lib.rs" => folder.ends_with("/src"),
        "main.rs" => folder.ends_with("/src") || above.ends_with("/src/bin"),
        _ => folder.ends_with("/src/bin"),
    }
}

/// Names in `mod name;`.
fn declared(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter_map(|line| {
        let (before, rest) = line.split_once("mod ")?;
        let name = rest.split_once(';')?.0.trim();
        (!before.ends_with(is_word) && name.chars().all(is_word)).then_some(name)
    })
}

fn candidates(path: &str, name: &str) -> [String; 2] {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let is_title_page = is_root(path) || file == "mod.rs";
    let folder = match is_title_page {
        true => folder.to_owned(),
        false => format!("{folder}/{}", file.trim_end_matches(".rs")),
    };
    [
        format!("{folder}/{name}.rs"),
        format!("{folder}/{name}/mod.rs"),
    ]
}

#[test]
fn modules_are_followed_from_the_roots() {
    let file = |path: &str, text: &str| Source::new(path.into(), text);
    let sources = vec![
        file(
            "a/src/lib.rs",
            "mod one;\npub(crate) mod two;\n// mod three;",
        ),
        file("a/src/one.rs", "mod deep;"),
        file("a/src/one/deep.rs", ""),
        file("a/src/two/mod.rs", "#[cfg(test)]\nmod checks;"),
        file("a/src/two/checks.rs", ""),
        file("a/src/three.rs", ""),
        file("a/src/bin/tool.rs", ""),
        file("a/src/bin/large/main.rs", "mod part;"),
        file("a/src/bin/large/part.rs", ""),
    ];
    let house = House::sort(BTreeSet::new(), Vec::new(), sources);
    assert_eq!(house.dead, ["a/src/three.rs"]);
    assert_eq!(house.only_tests, ["a/src/two/checks.rs".to_owned()].into());
    assert_eq!(house.shipped().count(), 8);
}

#[test]
fn files_have_module_paths() {
    assert_eq!(module_of("mesh-core/src/lib.rs"), [""; 0]);
    assert_eq!(module_of("mesh-core/src/plan/mod.rs"), ["plan"]);
    assert_eq!(
        module_of("mesh-core/src/plan/routes.rs"),
        ["plan", "routes"]
    );
}
