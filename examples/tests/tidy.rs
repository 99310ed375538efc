//! The house rules, executable: who may know whom, what a library never does, how a file looks.
//! `ARCHITECTURE.md` gives the reasons. A broken rule is printed as `file:line: what`.

#[path = "tidy/ban.rs"]
mod ban;
#[path = "tidy/house.rs"]
mod house;
#[path = "tidy/manifest.rs"]
mod manifest;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeSet;

use ban::{bans, table, words};
use house::{HOUSE, is_below, module_of};
use manifest::dependencies;
use paths::{Named, paths};
use source::{Source, is_word};

/// crate | those of ours it may depend on | outside libraries it must do without
const LAYERS: &str = "
    mesh-core    |                                                 | tokio hyper prost tonic rustls rand fastrand envoy-types
    mesh-routing | mesh-core                                       | tokio hyper prost tonic rustls rand fastrand envoy-types
    mesh-tls     | mesh-core                                       | prost envoy-types
    mesh-ca      | mesh-core mesh-tls                              | envoy-types
    mesh-xds     | mesh-core mesh-tls                              |
    mesh-proxy   | mesh-core mesh-tls mesh-routing mesh-ca mesh-xds | tonic envoy-types
    fuzz         | mesh-core mesh-tls mesh-routing mesh-xds        | tokio envoy-types
    examples     | mesh-core mesh-tls mesh-routing mesh-ca mesh-xds mesh-proxy mesh-fuzz | prost envoy-types
";

/// folder of mesh-core | what it may see; only `plan` sees both ends of its arrow
const FOLDERS_OF_CORE: &str = "
    identity   |
    name       | identity
    config     | identity name
    expression | name config
    mesh       | identity name config expression
    dataplane  | identity name expression
    plan       | identity name config expression mesh dataplane
";

/// path that no shipped code names | where | except there | why
const PATHS: &str = "
    mesh_core::config  | mesh-routing mesh-tls mesh-ca mesh-proxy | | the written form ends in mesh-core
    mesh_core::mesh    | mesh-routing mesh-tls mesh-ca mesh-proxy | mesh-routing/src/simulation | the resolved form ends in mesh-core
    mesh_core::plan    | mesh-routing mesh-tls mesh-ca mesh-proxy | mesh-routing/src/simulation | plans arrive through a feed
    envoy_types        | everywhere     | mesh-xds/src/proto        | the wire's words live behind one door
    mesh_xds::proto    | mesh-ca mesh-proxy examples fuzz |         | the wire's words stay in mesh-xds
    mesh_xds           | mesh-proxy/src | mesh-proxy/src/sidecar.rs | only the sidecar knows how plans travel
    mesh_ca            | mesh-proxy/src | mesh-proxy/src/sidecar.rs | only the sidecar knows who issues names
    tokio              | pure           |                           | I/O stands at the two ends
    std::fs            | pure           |                           | I/O stands at the two ends
    std::thread        | pure           |                           | I/O stands at the two ends
    Instant::now       | pure           |                           | time enters as an argument
    SystemTime::now    | pure           |                           | time enters as an argument
    fastrand           | pure           |                           | randomness enters as an argument
    rand               | pure           |                           | randomness enters as an argument
    std::env           | libraries      |                           | a library reads no environment
    unsafe             | everywhere     |                           | forbidden in the workspace
";

/// text that no shipped code contains | where | except there | why
const CALLS: &str = "
    .unwrap(       | everywhere |          | `expect` says why it cannot fail
    todo!          | everywhere |          | what is not done is not there
    unimplemented! | everywhere |          | what is not done is not there
    dbg!           | everywhere |          | left behind
    println!       | everywhere | programs | a library returns values
    eprintln!      | everywhere | programs | a library returns values
    print!         | everywhere | programs | a library returns values
    eprint!        | everywhere | programs | a library returns values
";

/// Longest file, in lines that are neither empty nor tests.
const MAX_LINES: usize = 600;

/// file that is longer | why it is one idea
const LONG_FILES: &str = "
";

/// Longest README, in lines.
const MAX_README_LINES: usize = 80;

/// Words that describe the author's desk, or put work off.
const NOWHERE: &str = "/work/ /home/ /root/ /Users/ crates.io TODO FIXME XXX";

/// Cargo writes the registry's name into its lock file; this file spells out what it bans.
const MAY_NAME: &[&str] = &["Cargo.lock", "LICENSE", "examples/tests/tidy.rs"];

#[test]
fn folders_are_the_crates() {
    let wanted: BTreeSet<_> = table(LAYERS).map(|[folder, ..]: [_; 3]| folder).collect();
    let found: BTreeSet<_> = HOUSE.folders.iter().map(|folder| &**folder).collect();
    assert_eq!(found, wanted);
}

#[test]
fn crates_depend_downwards() {
    hold(table(LAYERS).flat_map(|[folder, below, without]| {
        let path = format!("{folder}/Cargo.toml");
        let misplaced = |name: &str, only_tests: bool| match name.starts_with("mesh-") {
            true => !words(below).any(|allowed| allowed == name),
            false => !only_tests && words(without).any(|banned| banned == name),
        };
        dependencies(HOUSE.text(&path))
            .into_iter()
            .filter(|one| misplaced(one.name, one.only_tests))
            .map(|one| format!("{path}:{}: {} is not below", one.line, one.name))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn every_crate_takes_the_lints() {
    let paths = table(LAYERS).map(|[folder, ..]: [_; 3]| format!("{folder}/Cargo.toml"));
    let bare = paths.filter(|path| !HOUSE.text(path).contains("[lints]\nworkspace = true"));
    hold(bare.map(|path| format!("{path}:1: no [lints] workspace = true")));
}

#[test]
fn folders_of_core_see_what_they_may() {
    let sources = HOUSE
        .shipped()
        .filter(|source| is_below(&source.path, "mesh-core/src"));
    hold(sources.flat_map(strangers_in_core));
}

/// What a file of mesh-core names that its folder may not see.
fn strangers_in_core(source: &Source) -> Vec<String> {
    let module = module_of(&source.path);
    let Some(&folder) = module.first() else {
        return Vec::new();
    };
    let mut rows = table(FOLDERS_OF_CORE);
    let Some([_, may_see]) = rows.find(|[name, _]| *name == folder) else {
        return vec![format!(
            "{}:1: say in tidy.rs what {folder} may see",
            source.path
        )];
    };
    let seen = |other: &str| other == folder || words(may_see).any(|one| one == other);
    let strangers: Vec<_> = table(FOLDERS_OF_CORE)
        .filter(|[other, _]| !seen(other))
        .map(|[other, _]| format!("crate::{other}"))
        .collect();
    let is_strange = |named: &&Named| strangers.iter().any(|path| named.is_in(path));
    let named = paths(&source.shipped, &module);
    report(
        source,
        named.iter().filter(is_strange),
        "its folder may not see that",
    )
}

#[test]
fn nothing_banned_is_named() {
    hold(HOUSE.shipped().flat_map(|source| banned(source, PATHS)));
}

fn banned(source: &Source, rules: &str) -> Vec<String> {
    let named = paths(&source.shipped, &module_of(&source.path));
    bans(rules)
        .filter(|ban| ban.holds_in(&source.path))
        .flat_map(|ban| {
            let found = named.iter().filter(move |named| named.mentions(ban.what));
            report(source, found, ban.why)
        })
        .collect()
}

fn report<'a>(source: &Source, named: impl Iterator<Item = &'a Named>, why: &str) -> Vec<String> {
    named
        .map(|named| format!("{}:{}: {}: {why}", source.path, named.line, named.path))
        .collect()
}

#[test]
fn nothing_unfinished_ships() {
    hold(bans(CALLS).flat_map(|ban| {
        HOUSE
            .shipped()
            .filter(move |source| ban.holds_in(&source.path))
            .flat_map(move |source| lines_with(&source.path, &source.shipped, ban.what))
    }));
}

#[test]
fn no_module_is_dead() {
    let dead = HOUSE.dead.iter();
    hold(dead.map(|path| format!("{path}:1: no `mod` leads here")));
}

#[test]
fn files_are_one_idea_long() {
    let is_filled = |line: &&str| !line.trim().is_empty();
    let is_excused = |path: &str| table(LONG_FILES).any(|[excused, _]| excused == path);
    let measured = HOUSE.shipped().map(|source| {
        (
            &source.path,
            source.shipped.lines().filter(is_filled).count(),
        )
    });
    let long = measured.filter(|(path, length)| *length > MAX_LINES && !is_excused(path));
    hold(long.map(|(path, length)| format!("{path}:1: {length} lines want a second room")));
}

#[test]
fn every_library_introduces_itself() {
    hold(words(ban::LIBRARIES).flat_map(introduction));
}

/// What is missing from a crate's front door.
fn introduction(folder: &str) -> Vec<String> {
    const DOCS: &str = "#![doc = include_str!(\"../README.md\")]";
    let readme = format!("{folder}/README.md");
    let root = format!("{folder}/src/lib.rs");
    let examples = format!("{folder}/examples/");
    let has_length = (5..MAX_README_LINES).contains(&HOUSE.text(&readme).lines().count());
    let is_shown = HOUSE
        .texts
        .iter()
        .any(|(path, _)| path.starts_with(&examples));
    let wishes = [
        (
            has_length,
            format!("{readme}:1: 5 to {MAX_README_LINES} lines, please"),
        ),
        (
            HOUSE.text(&root).contains(DOCS),
            format!("{root}:1: {DOCS}, please"),
        ),
        (
            is_shown,
            format!("{examples}:1: no example shows the crate alone"),
        ),
    ];
    let missing = wishes.into_iter().filter(|(is_there, _)| !is_there);
    missing.map(|(_, wish)| wish).collect()
}

#[test]
fn the_map_shows_what_is_there() {
    const MAP: &str = "ARCHITECTURE.md";
    let lines = HOUSE.text(MAP).lines().enumerate();
    hold(lines.flat_map(|(number, line)| {
        let gone = places(line).filter(|(_, place)| !HOUSE.has(place));
        gone.map(move |(name, _)| format!("{MAP}:{}: {name} is gone", number + 1))
    }));
}

/// The files and folders that a line of prose names, and their paths from the root.
fn places(line: &str) -> impl Iterator<Item = (&str, String)> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter_map(|name| {
        let (first, rest) = name.split_once('/')?;
        match words(ban::LIBRARIES).any(|library| library == first) {
            true => Some((name, format!("{first}/src/{rest}"))),
            false => (first == "examples").then(|| (name, name.to_owned())),
        }
    })
}

#[test]
fn the_desk_is_not_described() {
    let texts = HOUSE.texts.iter();
    let texts = texts.filter(|(path, _)| !MAY_NAME.contains(&&**path));
    hold(texts.flat_map(|(path, text)| {
        words(NOWHERE).flat_map(move |word| lines_with(path, text, word))
    }));
}

#[test]
fn locked_packages_come_from_the_public_registry() {
    const PUBLIC: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let lines = HOUSE.text("Cargo.lock").lines().enumerate();
    let strange = lines.filter(|(_, line)| line.starts_with("source") && *line != PUBLIC);
    hold(strange.map(|(number, line)| format!("Cargo.lock:{}: {line}", number + 1)));
}

/// `file:line` of each line that has `word`, and not as part of a longer one.
fn lines_with(path: &str, text: &str, word: &str) -> Vec<String> {
    let is_whole = |line: &str, at: usize| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let goes_on = word.ends_with(is_word) && after.starts_with(is_word);
        let began = match word.chars().next() {
            // `net/work/x` and `./work/x` do not start at the root.
            Some('/') => before.ends_with(|c| is_word(c) || c == '.'),
            Some(first) => is_word(first) && before.ends_with(is_word),
            None => false,
        };
        !began && !goes_on
    };
    let has = |line: &str| line.match_indices(word).any(|(at, _)| is_whole(line, at));
    let lines = text.lines().enumerate().filter(|(_, line)| has(line));
    let report = |(number, _)| format!("{path}:{}: {word}", number + 1);
    lines.map(report).collect()
}

/// Fails with every broken rule, one a line.
#[track_caller]
fn hold(broken: impl IntoIterator<Item = String>) {
    let broken: Vec<_> = broken.into_iter().collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn strangers_are_noticed() {
    let check = |path: &str, text: &str, want: usize| {
        let source = Source::new(path.into(), text);
        assert_eq!(strangers_in_core(&source).len(), want, "{path}: {text}");
    };
    check(
        "mesh-core/src/dataplane/route.rs",
        "use crate::{config::Problem, name::Host};",
        1,
    );
    check(
        "mesh-core/src/dataplane/route.rs",
        "use super::super::mesh::Mesh;",
        1,
    );
    check(
        "mesh-core/src/dataplane/route.rs",
        "// crate::mesh\nuse super::Cluster;",
        0,
    );
    check(
        "mesh-core/src/mesh/service.rs",
        "fn f() -> crate::dataplane::Node {}",
        1,
    );
    check(
        "mesh-core/src/mesh/service.rs",
        "#[cfg(test)] mod t { use crate::plan; }",
        0,
    );
    check(
        "mesh-core/src/plan/routes.rs",
        "use crate::{mesh, dataplane};",
        0,
    );
    check("mesh-core/src/utils.rs", "", 1);
    check("mesh-core/src/lib.rs", "pub mod mesh;", 0);
}

#[test]
fn bans_are_noticed() {
    let check = |path: &'static str, text: &str, want: usize| {
        let source = Source::new("mesh-proxy/src/x.rs".into(), text);
        let table = format!("{path} | mesh-proxy | mesh-proxy/src/sidecar.rs | no");
        assert_eq!(banned(&source, &table).len(), want, "{path}: {text}");
    };
    check("mesh_xds", "use mesh_xds::client::Client;", 1);
    check("mesh_xds", "let x = mesh_xds_like();", 0);
    check(
        "mesh_core::config",
        "use mesh_core::{name::Host, config::{Problem, parse}};",
        2,
    );
    check(
        "mesh_core::config",
        "/// [`mesh_core::config`]\nuse mesh_core::name;",
        0,
    );
    check("Instant::now", "let now = Instant::now();", 1);
    check("Instant::now", "time::Instant::now", 1);
    check("rand", "fn f(random: Rand) {}", 0);
    check("unsafe", "unsafe { x() } // unsafe\n\"unsafe\"", 1);
}

#[test]
fn words_are_noticed_whole() {
    let check = |word: &str, line: &str, want: usize| {
        assert_eq!(lines_with("f", line, word).len(), want, "{word}: {line}");
    };
    check("TODO", "// TODO: later", 1);
    check("TODO", "TODOS", 0);
    check("print!", "eprint!(x)", 0);
    check("print!", "print!(x)", 1);
    check(".unwrap(", "x.unwrap()", 1);
    check(".unwrap(", "x.unwrap_or(y)", 0);
    check("/work/", "cd /work/x", 1);
    check("/work/", "net/work/x ./work/x", 0);
}

#[test]
fn places_on_the_map_are_found() {
    let line =
        "see `mesh-core/plan/mod.rs`, `src/`, `examples/tests` and `Origin` in mesh-tls/x.rs";
    let found: Vec<_> = places(line).map(|(_, place)| place).collect();
    assert_eq!(found, ["mesh-core/src/plan/mod.rs", "examples/tests"]);
}
