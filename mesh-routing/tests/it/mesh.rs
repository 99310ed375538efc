//! Whole-meaning cases: what is written, and what becomes of calls. See `testdata/mesh/README.md`.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mesh_core::{
    config::{ConfigSet, Problem},
    mesh::{Mesh, MeshDefaults, assumed_virtual_addresses, read, with_assumed_pods},
};
use mesh_routing::simulation::Simulation;

const TEST: &str = ".mesh-test.yaml";

#[test]
fn calls_become_what_is_expected() {
    let only = std::env::var("MESH_TEST").unwrap_or_default();
    let mut files = Vec::new();
    for folder in folders() {
        let (tests, shared): (Vec<_>, Vec<_>) = yaml_of(&folder)
            .into_iter()
            .partition(|path| path.to_string_lossy().ends_with(TEST));
        let wanted = tests
            .into_iter()
            .filter(|path| path.to_string_lossy().contains(&only));
        files.extend(wanted.map(|test| (test, shared.clone())));
    }
    let begin = Instant::now();
    let runs = run_all(&files);
    let cases: usize = runs.iter().map(|run| run.cases).sum();
    tell(&runs, cases, begin.elapsed());
    let failures: Vec<_> = runs.into_iter().flat_map(|run| run.failures).collect();
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
    assert!(cases > 0 || !only.is_empty(), "no case was found");
}

/// What became of one file.
struct Run {
    file: String,
    cases: usize,
    /// What is not as expected.
    failures: Vec<String>,
    took: Duration,
}

/// Runs every file, several at once; one that panics fails alone. In the order of the files.
fn run_all(files: &[(PathBuf, Vec<PathBuf>)]) -> Vec<Run> {
    let next = AtomicUsize::new(0);
    let runs = Mutex::new(Vec::new());
    let work = || {
        while let Some((test, shared)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begin = Instant::now();
            let file = name_of(test);
            let done = catch_unwind(AssertUnwindSafe(|| run(test, shared)));
            let (cases, failures) =
                done.unwrap_or_else(|_| (0, vec![format!("{file}: panicked, see above")]));
            runs.lock().unwrap().push(Run {
                file,
                cases,
                failures,
                took: begin.elapsed(),
            });
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    let mut runs = runs.into_inner().unwrap();
    runs.sort_by(|a, b| a.file.cmp(&b.file));
    runs
}

/// How long it took, and which files took longest.
fn tell(runs: &[Run], cases: usize, took: Duration) {
    let mut slowest: Vec<&Run> = runs.iter().collect();
    slowest.sort_by_key(|run| std::cmp::Reverse(run.took));
    let slowest: Vec<String> = slowest
        .iter()
        .take(3)
        .map(|run| format!("{} {:.1?}", run.file, run.took))
        .collect();
    let line = format!(
        "{cases} cases of {} files in {took:.1?}; the slowest: {}\n",
        runs.len(),
        slowest.join(", ")
    );
    io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A file's name below the root of all cases.
fn name_of(path: &Path) -> String {
    let name = path.strip_prefix(root()).unwrap();
    name.to_string_lossy().into_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/mesh")
}

fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(root()).unwrap();
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

fn yaml_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    files.sort();
    files
}

/// Runs the cases of one file: how many there were, and what is not as expected.
fn run(test: &Path, shared: &[PathBuf]) -> (usize, Vec<String>) {
    let defaults = MeshDefaults {
        virtual_addresses: Some(assumed_virtual_addresses()),
        ..MeshDefaults::default()
    };
    let mut set = ConfigSet::default();
    let mut problems = Vec::new();
    for path in shared.iter().map(PathBuf::as_path).chain([test]) {
        let name = name_of(path);
        let parsed = read(&name, &fs::read_to_string(path).unwrap(), &defaults);
        set = set.replace_file(&name, &parsed).0;
        problems.extend(parsed.problems);
    }
    let set = with_assumed_pods(&set, &defaults);
    let (mesh, found) = Mesh::resolve(&set, &defaults);
    problems.extend(found);
    let simulation = Simulation::new(mesh.clone());
    let mut count = 0;
    let mut failures = Vec::new();
    for test in mesh.tests() {
        let reports = simulation.judge(test);
        count += reports.len();
        let failed = reports.iter().filter(|report| !report.is_as_expected());
        failures.extend(failed.map(ToString::to_string));
    }
    problems.extend(simulation.problems());
    let expected: Vec<&String> = mesh
        .tests()
        .iter()
        .flat_map(|test| &test.problems)
        .collect();
    failures.extend(unexpected(&problems, &expected));
    if count == 0 {
        failures.push(format!("{}: no case", test.display()));
    }
    (count, failures)
}

/// Errors that no test names, and named problems that there are none of.
fn unexpected(problems: &[Problem], expected: &[&String]) -> Vec<String> {
    let lines: BTreeSet<String> = problems.iter().map(ToString::to_string).collect();
    let is_expected = |line: &String| expected.iter().any(|part| line.contains(*part));
    let errors = problems.iter().filter(|problem| problem.is_error());
    let errors: BTreeSet<String> = errors.map(ToString::to_string).collect();
    let mut failures: Vec<String> = errors.into_iter().filter(|l| !is_expected(l)).collect();
    let missing = expected
        .iter()
        .filter(|part| !lines.iter().any(|line| line.contains(**part)));
    failures.extend(missing.map(|part| {
        let all: Vec<&str> = lines.iter().map(String::as_str).collect();
        format!("expected a problem with {part:?}, found {all:#?}")
    }));
    failures
}

/// Every test that the table of what is supported names is there.
#[test]
fn tests_of_the_support_table_exist() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let table = fs::read_to_string(workspace.join("mesh-core/SUPPORT.md")).unwrap();
    let mut missing = Vec::new();
    for (number, line) in table.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, _, _, _, tests, ..] = cells[..] else {
            continue;
        };
        for named in tests.split('`').skip(1).step_by(2) {
            let (path, name) = named.split_once("::").unwrap_or((named, ""));
            let path = workspace.join(path);
            if path.is_dir() && name.is_empty() {
                continue;
            }
            let text = fs::read_to_string(path).unwrap_or_default();
            let is_there = !text.is_empty() && text.contains(name.rsplit("::").next().unwrap());
            if !is_there {
                missing.push(format!("mesh-core/SUPPORT.md:{}: {named}", number + 1));
            }
        }
    }
    assert!(missing.is_empty(), "\n{}\n", missing.join("\n"));
}
