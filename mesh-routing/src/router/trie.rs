/// Texts, and the rules that stand at them, to be found along a text in one walk: what a walk costs
/// depends on the text and on how the others branch off it, not on how many there are.
#[derive(Debug)]
pub(super) struct Trie(Vec<Node>);

/// What follows a text up to where the next ones part.
#[derive(Debug, Default)]
struct Node {
    label: Box<[u8]>,
    /// Rules for everything that begins so far.
    begins: Vec<u32>,
    /// Rules for what ends here.
    ends: Vec<u32>,
    /// The first bytes of what follows, and where it does.
    first: Vec<u8>,
    next: Vec<u32>,
}

/// What a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// Every text that begins with the one it stands at.
    Beginning,
    /// That text alone.
    Whole,
}

impl Default for Trie {
    fn default() -> Self {
        Self(vec![Node::default()])
    }
}

impl Trie {
    /// Adds a rule. Rules come in the order in which they decide.
    pub(super) fn insert(&mut self, text: &[u8], stands: Stands, rule: u32) {
        let (mut at, mut rest) = (0, text);
        while let Some(byte) = rest.first() {
            let known = self.0[at].first.iter().position(|first| first == byte);
            let Some(known) = known else {
                at = self.grow(at, rest);
                rest = &[];
                continue;
            };
            let next = self.0[at].next[known] as usize;
            let shared = shared(&self.0[next].label, rest);
            at = match shared == self.0[next].label.len() {
                true => next,
                false => self.split(at, known, shared),
            };
            rest = &rest[shared..];
        }
        let node = &mut self.0[at];
        let rules = match stands {
            Stands::Beginning => &mut node.begins,
            Stands::Whole => &mut node.ends,
        };
        if rules.last() != Some(&rule) {
            rules.push(rule);
        }
    }

    /// Shows the rules that stand along a text of which `byte` tells each byte.
    pub(super) fn walk<'a>(
        &'a self,
        len: usize,
        byte: impl Fn(usize) -> u8,
        mut show: impl FnMut(&'a [u32]),
    ) {
        let mut node = &self.0[0];
        let mut place = 0;
        loop {
            show(&node.begins);
            if place == len {
                return show(&node.ends);
            }
            let found = node.first.iter().position(|&first| first == byte(place));
            let Some(found) = found else { return };
            node = &self.0[node.next[found] as usize];
            let label = &node.label;
            let follows = label.len() <= len - place
                && (label.iter().enumerate()).all(|(i, &wanted)| wanted == byte(place + i));
            if !follows {
                return;
            }
            place += label.len();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let root = &self.0[0];
        root.begins.is_empty() && root.ends.is_empty() && root.next.is_empty()
    }

    fn grow(&mut self, at: usize, label: &[u8]) -> usize {
        let leaf = self.0.len();
        self.0.push(Node {
            label: label.into(),
            ..Node::default()
        });
        self.0[at].first.push(label[0]);
        self.0[at].next.push(leaf as u32);
        leaf
    }

    /// Parts a label in two; the new node in the middle.
    fn split(&mut self, at: usize, known: usize, shared: usize) -> usize {
        let (middle, next) = (self.0.len(), self.0[at].next[known]);
        let whole = std::mem::take(&mut self.0[next as usize].label);
        let (label, rest) = whole.split_at(shared);
        self.0.push(Node {
            label: label.into(),
            first: vec![rest[0]],
            next: vec![next],
            ..Node::default()
        });
        self.0[next as usize].label = rest.into();
        self.0[at].next[known] = middle as u32;
        middle
    }
}

/// How many bytes two texts have in common at their beginning.
fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
