//! Every input that once failed a fuzz target, and a few hundred more made from them.

use std::{collections::BTreeSet, fs, io, path::PathBuf};

use mesh_fuzz::TARGETS;

/// How many inputs are made for each target.
const MADE: u64 = 400;

fn regressions() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "regressions"]
        .iter()
        .collect()
}

/// The inputs kept for a target, with their files.
fn kept(target: &str) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let files = fs::read_dir(regressions().join(target))?;
    let mut paths: Vec<_> = files
        .map(|file| Ok(file?.path()))
        .collect::<io::Result<_>>()?;
    paths.sort();
    let inputs = paths
        .into_iter()
        .map(|path| Ok((path.clone(), fs::read(path)?)));
    inputs.collect()
}

#[test]
fn every_target_has_regressions() {
    let folders = fs::read_dir(regressions()).unwrap();
    let found: BTreeSet<_> = folders.map(|entry| entry.unwrap().file_name()).collect();
    let wanted: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(found, wanted);
}

#[test]
fn what_once_failed_passes() {
    for (name, target) in TARGETS {
        for (file, input) in kept(name).unwrap() {
            // The test's output tells which input it was.
            println!("{}", file.display());
            target(&input);
        }
    }
}

#[test]
fn inputs_like_them_pass() {
    for (name, target) in TARGETS {
        let kept: Vec<_> = kept(name)
            .unwrap()
            .into_iter()
            .map(|(_, input)| input)
            .collect();
        for seed in 0..MADE {
            println!("{name}: seed {seed}");
            target(&made(&kept, &mut Dice(seed)));
        }
    }
}

/// Beginnings and ends of two inputs, with bytes struck by chance.
fn made(kept: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let half = |dice: &mut Dice, from_start: bool| {
        let input = &kept[dice.below(kept.len())];
        let cut = dice.below(input.len() + 1);
        if from_start {
            &input[..cut]
        } else {
            &input[cut..]
        }
    };
    let mut input = [half(dice, true), half(dice, false)].concat();
    for _ in 0..dice.below(8) {
        let at = dice.below(input.len() + 1);
        let byte = dice.below(256) as u8;
        match dice.below(3) {
            0 => input.insert(at, byte),
            _ if at == input.len() => input.push(byte),
            1 => input[at] = byte,
            _ => input[at] ^= 1 << (byte % 8),
        }
    }
    input
}

/// SplitMix64: the same inputs on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
