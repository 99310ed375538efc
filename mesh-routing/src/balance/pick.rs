use super::{
    EndpointIndex, Loads, Policy,
    priority::{Crowd, Members, Priority},
};
use crate::Dice;

/// The choice within one priority.
pub(super) struct Pool<'a> {
    pub(super) priority: &'a Priority,
    pub(super) policy: Policy,
    pub(super) loads: &'a Loads,
    pub(super) panic: bool,
    pub(super) avoid: &'a dyn Fn(EndpointIndex) -> bool,
}

/// How often another instance is drawn in place of one that may not be called, before all are
/// looked at in order.
const REDRAWS: usize = 3;

impl Pool<'_> {
    pub(super) fn pick(&self, hash: Option<u64>, dice: &mut Dice) -> Option<EndpointIndex> {
        if let (Some(hash), Some(table), false) = (hash, &self.priority.table, self.panic) {
            return table.find(hash, |index| self.accepts(index));
        }
        let crowd = if self.panic {
            &self.priority.all
        } else {
            &self.priority.healthy
        };
        let first = crowd.localities.draw(dice)?;
        self.within(&crowd.members[first], dice)
            .or_else(|| self.elsewhere(crowd, first, dice))
    }

    /// Tries the other localities that have a weight.
    fn elsewhere(&self, crowd: &Crowd, not: usize, dice: &mut Dice) -> Option<EndpointIndex> {
        (0..crowd.members.len())
            .filter(|&position| position != not && crowd.localities.weight(position) > 0)
            .find_map(|position| self.within(&crowd.members[position], dice))
    }

    fn within(&self, members: &Members, dice: &mut Dice) -> Option<EndpointIndex> {
        match self.policy {
            Policy::RoundRobin => self.in_turn(members),
            Policy::LeastRequest { choices } => self.least_busy(members, choices, dice),
            Policy::Random | Policy::RingHash { .. } | Policy::Maglev { .. } => {
                self.any(members, dice)
            }
        }
    }

    fn in_turn(&self, members: &Members) -> Option<EndpointIndex> {
        (0..members.indices.len())
            .filter_map(|_| members.weights.turn(self.loads.turn(members.locality)))
            .map(|position| members.indices[position])
            .find(|index| self.accepts(*index))
            .or_else(|| self.scan(members, 0))
    }

    fn any(&self, members: &Members, dice: &mut Dice) -> Option<EndpointIndex> {
        let start = members.weights.draw(dice)?;
        if self.accepts(members.indices[start]) {
            return Some(members.indices[start]);
        }
        (0..REDRAWS)
            .filter_map(|_| members.weights.draw(dice))
            .map(|position| members.indices[position])
            .find(|index| self.accepts(*index))
            .or_else(|| self.scan(members, start))
    }

    /// Of several drawn by weight, the one with the fewest requests under way for its weight; the
    /// first drawn of equals.
    fn least_busy(
        &self,
        members: &Members,
        choices: u32,
        dice: &mut Dice,
    ) -> Option<EndpointIndex> {
        let mut best: Option<usize> = None;
        for _ in 0..choices {
            let mut position = members.weights.draw(dice)?;
            // Drawing the same twice compares nothing. Turning to the neighbour keeps everyone's
            // share only where all weigh the same.
            if best == Some(position) && members.weights.are_equal() {
                position = (position + 1) % members.indices.len();
            }
            if self.accepts(members.indices[position])
                && best.is_none_or(|best| self.is_less_busy(members, position, best))
            {
                best = Some(position);
            }
        }
        match best {
            Some(position) => Some(members.indices[position]),
            None => self.any(members, dice),
        }
    }

    fn is_less_busy(&self, members: &Members, one: usize, other: usize) -> bool {
        let load = |position: usize| u64::from(self.loads.in_flight(members.indices[position]));
        load(one) * members.weights.weight(other) < load(other) * members.weights.weight(one)
    }

    fn scan(&self, members: &Members, start: usize) -> Option<EndpointIndex> {
        let (before, after) = members.indices.split_at(start);
        after
            .iter()
            .chain(before)
            .copied()
            .find(|index| self.accepts(*index))
    }

    fn accepts(&self, index: EndpointIndex) -> bool {
        (self.panic || !self.loads.is_ejected(index)) && !(self.avoid)(index)
    }
}
