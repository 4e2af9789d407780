//! What is known to descend from what, in a graph that is looked at from the bottom up.
//!
//! In: the messages that are looked for, and for each message what stands right above it. Out: whether a message is one of
//! them or before one. Pure. Each message is looked at once, however often it is asked for.

use std::collections::BTreeMap;

/// The beginning of a message id.
pub(super) type Short = [u8; 8];

/// What names a message as its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Above {
    /// One of those that are looked for, or before one.
    Reached,
    /// Not known: what stands above it says so.
    Message(Short),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Descent {
    reaches: BTreeMap<Short, bool>,
    most: usize,
}

impl Descent {
    /// Looks for these, and at so many messages at most: what was not looked at then reaches none.
    pub(super) fn new(sought: &[Short], most: usize) -> Self {
        Self {
            reaches: sought.iter().map(|short| (*short, true)).collect(),
            most,
        }
    }

    /// Whether a message is one of those that are looked for, or before one.
    pub(super) fn reaches<E>(
        &mut self,
        from: Short,
        mut above: impl FnMut(Short) -> Result<Vec<Above>, E>,
    ) -> Result<bool, E> {
        if let Some(known) = self.reaches.get(&from) {
            return Ok(*known);
        }
        // A message that is on its way up counts as one that reaches none: above it nothing stands but what is newer.
        let mut way = vec![(from, above(from)?)];
        self.reaches.insert(from, false);
        while let Some((_, open)) = way.last_mut() {
            let next = match open.pop() {
                None => {
                    way.pop();
                    continue;
                }
                Some(Above::Reached) => return Ok(self.reached(&way)),
                Some(Above::Message(next)) => next,
            };
            match self.reaches.get(&next) {
                Some(true) => return Ok(self.reached(&way)),
                Some(false) => {}
                None if self.reaches.len() >= self.most => {}
                None => {
                    self.reaches.insert(next, false);
                    way.push((next, above(next)?));
                }
            }
        }
        Ok(false)
    }

    fn reached(&mut self, way: &[(Short, Vec<Above>)]) -> bool {
        self.reaches.extend(way.iter().map(|(short, _)| (*short, true)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn name(n: u16) -> Short {
        let [a, b] = n.to_be_bytes();
        [0, 0, 0, 0, 0, 0, a, b]
    }

    fn number(short: Short) -> u16 {
        u16::from_be_bytes([short[6], short[7]])
    }

    /// Asks about each in turn. Out: what was said, and how often a message was looked at.
    fn asked(sought: &[u16], most: usize, edges: &[(u16, u16)], of: &[u16]) -> (Vec<bool>, usize) {
        let sought: Vec<Short> = sought.iter().map(|n| name(*n)).collect();
        let (mut descent, mut looked) = (Descent::new(&sought, most), 0);
        let said = of.iter().map(|from| {
            let found = descent.reaches(name(*from), |short| {
                looked += 1;
                let above = edges.iter().filter(|(low, _)| *low == number(short));
                Ok::<_, Infallible>(above.map(|(_, high)| Above::Message(name(*high))).collect())
            });
            found.unwrap_or_default()
        });
        (said.collect(), looked)
    }

    /// 1 - 2 - 4 - 5, 1 - 3 - 5, and 6 and 7 beside it.
    const EDGES: &[(u16, u16)] = &[(1, 2), (1, 3), (2, 4), (3, 5), (4, 5), (6, 7)];

    #[test]
    fn what_is_before_one_of_them_reaches_it_and_what_is_after_does_not_grp_6() {
        let all = [1, 2, 3, 4, 5, 6, 7, 8];
        let (said, _) = asked(&[4], 100, EDGES, &all);
        assert_eq!(said, [true, true, false, true, false, false, false, false]);
        let (said, _) = asked(&[3, 7], 100, EDGES, &all);
        assert_eq!(said, [true, false, true, false, false, true, true, false]);
        assert!(!asked(&[], 100, EDGES, &all).0.contains(&true));
    }

    #[test]
    fn each_message_is_looked_at_once_grp_6() {
        let chain: Vec<(u16, u16)> = (0..500).map(|n| (n, n + 1)).collect();
        let all: Vec<u16> = (0..500).collect();
        let (said, looked) = asked(&[], 1_000, &chain, &all);
        assert!(!said.contains(&true));
        assert_eq!(looked, 501);
        let (said, looked) = asked(&[500], 1_000, &chain, &all);
        assert!(!said.contains(&false));
        assert_eq!(looked, 500);
    }

    #[test]
    fn what_names_itself_ends_all_the_same_grp_6() {
        assert_eq!(
            asked(&[9], 100, &[(1, 2), (2, 1), (3, 3)], &[1, 2, 3]).0,
            [false, false, false]
        );
    }

    #[test]
    fn no_more_is_looked_at_than_was_allowed_grp_6() {
        let chain: Vec<(u16, u16)> = (0..500).map(|n| (n, n + 1)).collect();
        let (said, looked) = asked(&[500], 100, &chain, &[0, 450]);
        assert_eq!((said, looked <= 101), (vec![false, false], true));
        assert_eq!(asked(&[500], 600, &chain, &[0]).0, [true]);
    }
}
