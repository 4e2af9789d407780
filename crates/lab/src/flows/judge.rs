//! Two classifiers, and what they are worth: logistic regression and the nearest neighbours.
//!
//! In: numbers of flows of two classes, and a seed. Out: of a hundred flows of the one, how many are found where one of a hundred
//! of the other is taken for it. Half of each class is learned from, the other half judged.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Rounds of gradient descent.
const ROUNDS: usize = 400;
/// How far each goes.
const STEP: f64 = 0.3;
/// What large weights cost.
const RIDGE: f64 = 1e-3;
/// Neighbours that are asked.
pub const NEIGHBOURS: usize = 9;
/// Of the other class, so many may be taken for the one: 1 %.
pub const FALSE_SHARE: f64 = 0.01;

/// How many are found, in percent: by logistic regression, by the nearest neighbours; and the area under the curve of each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Logistic regression: found at 1 % false, and area.
    pub logistic: (f64, f64),
    /// Nearest neighbours.
    pub nearest: (f64, f64),
}

/// Learns to tell `one` from `other`, and says how well.
pub fn judge(one: &[Vec<f64>], other: &[Vec<f64>], seed: u64) -> Verdict {
    let mut dice = ChaCha20Rng::seed_from_u64(seed);
    let (one_known, one_new) = halves(one, &mut dice);
    let (other_known, other_new) = halves(other, &mut dice);
    let mut known: Vec<(Vec<f64>, bool)> = Vec::new();
    known.extend(one_known.into_iter().map(|numbers| (numbers, true)));
    known.extend(other_known.into_iter().map(|numbers| (numbers, false)));
    let scale = Scale::of(&known);
    for (numbers, _) in &mut known {
        scale.apply(numbers);
    }
    let scaled = |flows: Vec<Vec<f64>>| -> Vec<Vec<f64>> {
        let scaled = flows.into_iter().map(|mut numbers| {
            scale.apply(&mut numbers);
            numbers
        });
        scaled.collect()
    };
    let (one_new, other_new) = (scaled(one_new), scaled(other_new));
    let weights = learn(&known);
    let by = |score: &dyn Fn(&[f64]) -> f64| {
        let scores = |flows: &[Vec<f64>]| flows.iter().map(|numbers| score(numbers)).collect::<Vec<_>>();
        let (ones, others) = (scores(&one_new), scores(&other_new));
        (found(&ones, &others), area(&ones, &others))
    };
    Verdict {
        logistic: by(&|numbers| dot(&weights, numbers)),
        nearest: by(&|numbers| neighbours(&known, numbers)),
    }
}

/// Two halves, by dice.
fn halves(flows: &[Vec<f64>], dice: &mut ChaCha20Rng) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let mut mixed = flows.to_vec();
    for at in (1..mixed.len()).rev() {
        let with = usize::try_from(dice.next_u64() % (at as u64 + 1)).unwrap();
        mixed.swap(at, with);
    }
    let rest = mixed.split_off(mixed.len() / 2);
    (mixed, rest)
}

/// Mean and spread of each number: all weigh alike.
struct Scale {
    means: Vec<f64>,
    spreads: Vec<f64>,
}

impl Scale {
    fn of(known: &[(Vec<f64>, bool)]) -> Self {
        let (count, width) = (known.len() as f64, known[0].0.len());
        let mean = |value: &dyn Fn(&[f64]) -> f64| known.iter().map(|(numbers, _)| value(numbers)).sum::<f64>() / count;
        let means: Vec<f64> = (0..width).map(|at| mean(&|numbers| numbers[at])).collect();
        let variance = |at: usize| mean(&|numbers| (numbers[at] - means[at]).powi(2));
        let spreads = (0..width).map(|at| variance(at).sqrt().max(1e-9)).collect();
        Self { means, spreads }
    }

    /// What is far outside of everything known is far, not endless.
    fn apply(&self, numbers: &mut [f64]) {
        for (at, number) in numbers.iter_mut().enumerate() {
            *number = ((*number - self.means[at]) / self.spreads[at]).clamp(-8.0, 8.0);
        }
    }
}

/// The last weight stands alone.
fn dot(weights: &[f64], numbers: &[f64]) -> f64 {
    let (alone, weights) = weights.split_last().expect("there is always one");
    weights
        .iter()
        .zip(numbers)
        .map(|(weight, number)| weight * number)
        .sum::<f64>()
        + alone
}

fn learn(known: &[(Vec<f64>, bool)]) -> Vec<f64> {
    let (width, count) = (known[0].0.len(), known.len() as f64);
    let mut weights = vec![0.0; width + 1];
    for _ in 0..ROUNDS {
        let mut slope = vec![0.0; width + 1];
        for (numbers, is_one) in known {
            let guess = 1.0 / (1.0 + (-dot(&weights, numbers)).exp());
            let error = guess - f64::from(u8::from(*is_one));
            for (slope, number) in slope.iter_mut().zip(numbers.iter().chain(&[1.0])) {
                *slope += error * number;
            }
        }
        for (weight, slope) in weights.iter_mut().zip(&slope) {
            *weight -= STEP * (slope / count + RIDGE * *weight);
        }
    }
    weights
}

/// How many of the nearest are of the one; nearer ones count a little more, so that few are alike.
fn neighbours(known: &[(Vec<f64>, bool)], numbers: &[f64]) -> f64 {
    let far = |other: &[f64]| other.iter().zip(numbers).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let mut all: Vec<(f64, bool)> = known.iter().map(|(other, is_one)| (far(other), *is_one)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let nearest = all.iter().take(NEIGHBOURS).filter(|(_, is_one)| *is_one);
    nearest.map(|(far, _)| 1.0 + 1e-3 / (1.0 + far)).sum()
}

/// In percent: the ones above a bar that no more than [`FALSE_SHARE`] of the others pass.
fn found(ones: &[f64], others: &[f64]) -> f64 {
    let mut sorted = others.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let allowed = (others.len() as f64 * FALSE_SHARE).floor() as usize;
    let bar = sorted.get(allowed).copied().unwrap_or(f64::NEG_INFINITY);
    100.0 * ones.iter().filter(|score| **score > bar).count() as f64 / ones.len().max(1) as f64
}

/// How well one number alone tells two classes apart, whichever has more of it: the best bar between them, or around the one
/// of them that lies together. Out: what it finds at 1 % false, in percent.
pub fn alone(one: &[f64], other: &[f64]) -> f64 {
    let mut sorted = one.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let near = |values: &[f64]| values.iter().map(|value| -(value - middle).abs()).collect::<Vec<_>>();
    found(&near(one), &near(other))
}

/// How often one of the ones is above one of the others.
fn area(ones: &[f64], others: &[f64]) -> f64 {
    let mut wins = 0.0;
    for one in ones {
        for other in others {
            wins += match one.total_cmp(other) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    wins / (ones.len() * others.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(count: usize, shift: f64, seed: u64) -> Vec<Vec<f64>> {
        let mut dice = ChaCha20Rng::seed_from_u64(seed);
        let mut number = || f64::from(dice.next_u32()) / f64::from(u32::MAX);
        (0..count).map(|_| vec![number() + shift, number(), 5.0]).collect()
    }

    #[test]
    fn what_is_alike_is_not_told_apart_and_what_differs_is() {
        let alike = judge(&made(500, 0.0, 1), &made(500, 0.0, 2), 7);
        assert!(alike.logistic.0 < 6.0 && alike.nearest.0 < 6.0, "{alike:?}");
        assert!((alike.logistic.1 - 0.5).abs() < 0.1, "{alike:?}");
        let apart = judge(&made(500, 2.0, 1), &made(500, 0.0, 2), 7);
        assert!(apart.logistic.0 > 99.0 && apart.nearest.0 > 99.0, "{apart:?}");
        assert!(apart.logistic.1 > 0.999, "{apart:?}");
    }

    #[test]
    fn one_number_alone_tells_where_one_class_lies_together() {
        let wide: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(alone(&[500.0; 100], &wide), 100.0);
        assert!(alone(&wide, &wide) < 2.0);
    }

    #[test]
    fn no_more_than_one_in_a_hundred_may_be_false() {
        let others: Vec<f64> = (0..200).map(f64::from).collect();
        assert_eq!(found(&[197.0, 197.5, 198.0, 500.0], &others), 75.0);
        // Where many are alike none of them passes.
        assert_eq!(found(&[1.0, 2.0], &[1.0; 100]), 50.0);
    }
}
