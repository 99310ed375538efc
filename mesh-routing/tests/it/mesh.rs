//! Whole-meaning cases: what is written, and what becomes of calls. See `testdata/mesh/README.md`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
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
    let mut cases = 0;
    let mut failures = Vec::new();
    for folder in folders() {
        let (tests, shared): (Vec<_>, Vec<_>) = yaml_of(&folder)
            .into_iter()
            .partition(|path| path.to_string_lossy().ends_with(TEST));
        for test in tests
            .iter()
            .filter(|path| path.to_string_lossy().contains(&only))
        {
            let (count, found) = run(test, &shared);
            cases += count;
            failures.extend(found);
        }
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
    assert!(cases > 0 || !only.is_empty(), "no case was found");
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
        let name = path
            .strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .into_owned();
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
