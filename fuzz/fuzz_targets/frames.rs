#![no_main]

#[path = "../src/targets.rs"]
#[expect(dead_code, reason = "each binary runs one target of three")]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::frames(input));
