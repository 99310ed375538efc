//! Tests of configuration: `*.mesh-test.yaml` with what calls are expected to become.

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
};

use mesh_core::{
    config::{Change, ConfigSet, Problem},
    mesh::{Mesh, MeshDefaults, assumed_virtual_addresses, read, with_assumed_pods},
};
use mesh_routing::simulation::{CaseReport, Simulation};
use serde_json::{Value, json};

use super::{ReadError, Written, files};
use crate::console::Paint;

/// What became of all tests.
#[derive(Debug, Default)]
pub struct TestOutcome {
    files: Vec<TestFile>,
}

/// What became of the tests of one file.
#[derive(Debug)]
struct TestFile {
    name: String,
    reports: Vec<CaseReport>,
    /// What is wrong with the tests themselves, or with configuration, against what they expect.
    troubles: Vec<String>,
}

/// Finds the tests in and below the paths and asks every case.
///
/// A test is about the configuration in its own folder, files directly in it, or, where there is
/// none, in the nearest folder above it that holds some, as far up as was asked for. What else is
/// written in a test file is configuration for that file alone, and wins over the same resource of
/// the folder.
pub fn test(paths: &[PathBuf]) -> Result<TestOutcome, ReadError> {
    let mut written = files::read(paths)?;
    // A test that is named by itself is about its folder too.
    let folders = paths.iter().filter(|path| path.is_file());
    let folders = folders.filter_map(|path| path.parent()).map(|folder| {
        match folder.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => folder.to_owned(),
        }
    });
    let folders: Vec<PathBuf> = folders.collect();
    if !folders.is_empty() {
        let beside = files::read(&folders)?;
        written.extend(beside.into_iter().filter(|file| !file.is_test));
        written.sort_by(|a, b| a.name.cmp(&b.name));
        written.dedup_by(|a, b| same_file(&a.name, &b.name));
    }
    let mut by_folder: BTreeMap<PathBuf, Vec<&Written>> = BTreeMap::new();
    for file in written.iter().filter(|file| !file.is_test) {
        by_folder.entry(folder(&file.name)).or_default().push(file);
    }
    let tests = written.iter().filter(|file| file.is_test);
    let outcome = tests.map(|test| {
        let own = folder(&test.name);
        let nearest = own.ancestors().find_map(|folder| by_folder.get(folder));
        ask(test, nearest.map_or(&[][..], Vec::as_slice))
    });
    Ok(TestOutcome {
        files: outcome.collect(),
    })
}

fn same_file(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.trim_start_matches("./").to_owned();
    plain(a) == plain(b)
}

fn folder(file: &str) -> PathBuf {
    let folder = Path::new(file.trim_start_matches("./")).parent();
    folder.map(Path::to_owned).unwrap_or_default()
}

fn ask(test: &Written, config: &[&Written]) -> TestFile {
    let defaults = MeshDefaults {
        virtual_addresses: Some(assumed_virtual_addresses()),
        ..MeshDefaults::default()
    };
    let (mut set, mut problems) = (ConfigSet::default(), Vec::new());
    for file in config {
        let parsed = read(&file.name, &file.text, &defaults);
        set = set.replace_file(&file.name, &parsed).0;
        problems.extend(parsed.problems);
    }
    let own = read(&test.name, &test.text, &defaults);
    let replaced = own
        .resources
        .iter()
        .map(|own| Change::Remove(own.reference.clone()));
    set = set.apply(replaced).replace_file(&test.name, &own).0;
    problems.extend(own.problems);
    let set = with_assumed_pods(&set, &defaults);
    let (mesh, found) = Mesh::resolve(&set, &defaults);
    problems.extend(found);
    let simulation = Simulation::new(mesh.clone());
    let tests = mesh.tests();
    let reports: Vec<_> = tests
        .iter()
        .flat_map(|test| simulation.judge(test))
        .collect();
    problems.extend(simulation.problems());
    let expected: Vec<_> = tests.iter().flat_map(|test| &test.problems).collect();
    let mut troubles = unexpected(&problems, &expected);
    if reports.is_empty() {
        troubles.push(format!("{}: there is no case", test.name));
    }
    TestFile {
        name: test.name.clone(),
        reports,
        troubles,
    }
}

/// Errors that no test names, and named problems that there are none of.
fn unexpected(problems: &[Problem], expected: &[&String]) -> Vec<String> {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let is_expected = |line: &String| expected.iter().any(|part| line.contains(part.as_str()));
    let errors = problems.iter().filter(|problem| problem.is_error());
    let mut troubles: Vec<_> = errors.map(ToString::to_string).collect();
    troubles.retain(|line| !is_expected(line));
    troubles.sort();
    troubles.dedup();
    let missing = expected.iter();
    let missing = missing.filter(|part| !lines.iter().any(|line| line.contains(part.as_str())));
    troubles
        .extend(missing.map(|part| format!("a problem with {part:?} is expected, and is none")));
    troubles
}

impl TestOutcome {
    /// How many cases were asked.
    pub fn cases(&self) -> usize {
        self.files.iter().map(|file| file.reports.len()).sum()
    }

    /// Whether all is as expected.
    pub fn is_as_expected(&self) -> bool {
        self.failed() == 0 && self.files.iter().all(|file| file.troubles.is_empty())
    }

    fn failed(&self) -> usize {
        let reports = self.files.iter().flat_map(|file| &file.reports);
        reports.filter(|report| !report.is_as_expected()).count()
    }

    /// A line for each file; what is not as expected with its place, what was found, and why.
    pub fn report(&self, paint: Paint) -> String {
        let mut text = String::new();
        for file in &self.files {
            let failed = file
                .reports
                .iter()
                .filter(|report| !report.is_as_expected());
            let failed: Vec<_> = failed.collect();
            let is_good = failed.is_empty() && file.troubles.is_empty();
            let verdict = match is_good {
                true => paint.good("ok    "),
                false => paint.bad("failed"),
            };
            let cases = file.reports.len();
            let _ = writeln!(
                text,
                "{verdict} {} ({cases} cases)",
                paint.place(&file.name)
            );
            for trouble in &file.troubles {
                let _ = writeln!(text, "\n{trouble}");
            }
            for report in failed {
                let _ = write!(text, "\n{report}");
            }
        }
        let (cases, failed) = (self.cases(), self.failed());
        let files = self.files.len();
        let _ = writeln!(
            text,
            "{files} files, {cases} cases, {failed} not as expected"
        );
        text
    }

    /// The same for a program.
    pub fn json(&self) -> Value {
        let files = self.files.iter().map(|file| {
            let cases = file.reports.iter().map(case);
            json!({
                "file": file.name,
                "problems": file.troubles,
                "cases": cases.collect::<Vec<_>>(),
            })
        });
        json!({
            "files": files.collect::<Vec<_>>(),
            "cases": self.cases(),
            "failed": self.failed(),
        })
    }
}

fn case(report: &CaseReport) -> Value {
    let differences = report.differences.iter().map(|difference| {
        json!({
            "field": difference.field,
            "expected": difference.expected,
            "found": difference.found,
        })
    });
    json!({
        "name": report.name,
        "place": report.place,
        "passed": report.is_as_expected(),
        "differences": differences.collect::<Vec<_>>(),
        "error": report.account.as_ref().err().map(ToString::to_string),
        "account": report.account.as_ref().ok(),
    })
}

#[cfg(test)]
mod checks {
    use super::*;

    const TOWN: &str = "\
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews}
spec:
  selector: {matchLabels: {app: reviews}}
  template: {metadata: {labels: {app: reviews}}}
";

    const TEST: &str = "\
apiVersion: mesh.local/v1alpha1
kind: MeshTest
metadata: {name: reviews}
spec:
  cases:
  - name: reviews is reached
    from: default/reviews
    call: GET http://reviews:9080/
    expect: {status: 200}
  - name: reviews is not there
    from: default/reviews
    call: GET http://reviews:9080/
    expect: {status: 404}
";

    fn file(name: &str, text: &str) -> Written {
        Written {
            name: name.into(),
            text: text.into(),
            is_test: name.contains("mesh-test"),
        }
    }

    #[test]
    fn failures_are_told_with_their_place_and_why() {
        let (town, test) = (file("town.yaml", TOWN), file("a.mesh-test.yaml", TEST));
        let outcome = TestOutcome {
            files: vec![ask(&test, &[&town])],
        };
        assert_eq!((outcome.cases(), outcome.failed()), (2, 1));
        let text = outcome.report(Paint::Plain);
        assert!(
            text.starts_with("failed a.mesh-test.yaml (2 cases)\n"),
            "{text}"
        );
        let told = "\na.mesh-test.yaml:10: reviews is not there\n  \
                    status: expected Some(404), found Some(200)\n";
        assert!(text.contains(told), "{text}");
        assert!(text.contains("reaches default/reviews-0"), "{text}");
        let json = outcome.json();
        assert_eq!(json["files"][0]["cases"][0]["passed"], true);
        assert_eq!(
            json["files"][0]["cases"][1]["differences"][0]["field"],
            "status"
        );
    }

    #[test]
    fn what_a_test_writes_itself_wins() {
        let denial = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
                      metadata: {name: a}\nspec: {}\n";
        let open = denial.replace("spec: {}", "spec: {rules: [{}]}");
        let town = file("town.yaml", &format!("{TOWN}---\n{denial}"));
        let denied = TEST.replace("status: 200", "outcome: denied");
        let test = file("a.mesh-test.yaml", &denied);
        assert_eq!(
            ask(&test, &[&town])
                .reports
                .iter()
                .filter(|r| r.is_as_expected())
                .count(),
            1
        );
        let test = file("a.mesh-test.yaml", &format!("{TEST}---\n{open}"));
        assert_eq!(
            ask(&test, &[&town])
                .reports
                .iter()
                .filter(|r| r.is_as_expected())
                .count(),
            1
        );
    }
}
