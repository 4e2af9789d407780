//! Whoever has copied everything that a device has: what it reads until that device renews its keys, and after that.

use crate::bench::Bench;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// The copy takes in all that it can, and says nothing.
fn listens(bench: &mut Bench, copy: usize) {
    loop {
        bench.devices[copy].cut = false;
        let some = bench.deliver(copy);
        bench.devices[copy].cut = true;
        while let Some(input) = bench.devices[copy].queue.pop_front() {
            let outputs = bench.devices[copy].step(input);
            bench.release(copy, outputs);
        }
        // It does nothing of its own accord.
        bench.devices[copy].wake_at = None;
        if !some {
            return;
        }
    }
}

/// Nobody notices the theft; a day later Bo's device has renewed its keys as on every day.
#[test]
pub(crate) fn a_copy_of_a_device_goes_blind_when_that_renews_its_keys_rnw_1() {
    let mut bench = Bench::friends();
    bench.say(0, 1, "before");
    bench.pass(HOUR);
    let copy = bench.copy(1);
    bench.say(0, 1, "while it can");
    listens(&mut bench, copy);
    assert_eq!(bench.texts(copy), ["before", "while it can"]);
    bench.pass(DAY + 12 * HOUR);
    bench.say(0, 1, "healed");
    bench.pass(HOUR);
    listens(&mut bench, copy);
    assert_eq!(bench.texts(1), ["before", "while it can", "healed"]);
    assert_eq!(bench.texts(copy), ["before", "while it can"]);
}
