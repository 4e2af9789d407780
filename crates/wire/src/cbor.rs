//! The corner of CBOR (RFC 8949) that message bodies use, in its shortest form only: unsigned numbers and lengths, byte
//! strings, text, arrays, maps, null.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Write};

const NUMBER: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const NULL: u8 = 0xf6;

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_head(out, TEXT, text.len());
    out.put(text.as_bytes());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_head(out, BYTES, bytes.len());
    out.put(bytes);
}

pub(crate) fn put_array(out: &mut Vec<u8>, count: usize) {
    put_head(out, ARRAY, count);
}

pub(crate) fn put_map(out: &mut Vec<u8>, count: usize) {
    put_head(out, MAP, count);
}

/// At most 2^32 - 1.
pub(crate) fn put_number(out: &mut Vec<u8>, number: usize) {
    put_head(out, NUMBER, number);
}

pub(crate) fn put_null(out: &mut Vec<u8>) {
    out.push(NULL);
}

pub(crate) fn text<'a>(reader: &mut Reader<'a>, max: usize) -> Result<&'a str, DecodeError> {
    let length = head(reader, TEXT, max)?;
    core::str::from_utf8(reader.take(length)?).map_err(|_| DecodeError::Value("text"))
}

pub(crate) fn bytes<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], DecodeError> {
    if head(reader, BYTES, N)? != N {
        return Err(DecodeError::Value("byte string"));
    }
    reader.array()
}

/// A byte string of any length up to `max`.
pub(crate) fn blob<'a>(reader: &mut Reader<'a>, max: usize) -> Result<&'a [u8], DecodeError> {
    let length = head(reader, BYTES, max)?;
    reader.take(length)
}

pub(crate) fn number(reader: &mut Reader<'_>, max: usize) -> Result<usize, DecodeError> {
    head(reader, NUMBER, max)
}

pub(crate) fn map(reader: &mut Reader<'_>, max: usize) -> Result<usize, DecodeError> {
    head(reader, MAP, max)
}

pub(crate) fn array(reader: &mut Reader<'_>, max: usize) -> Result<usize, DecodeError> {
    head(reader, ARRAY, max)
}

/// Whether a null stands here; takes it if so.
pub(crate) fn null(reader: &mut Reader<'_>) -> bool {
    let mut ahead = *reader;
    let found = ahead.u8() == Ok(NULL);
    if found {
        *reader = ahead;
    }
    found
}

fn put_head(out: &mut Vec<u8>, major: u8, length: usize) {
    let major = major << 5;
    match length {
        0..=23 => out.push(major | u8::try_from(length).unwrap_or(0)),
        24..=0xff => out.put(&[major | 24, u8::try_from(length).unwrap_or(0)]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.put(&u16::try_from(length).unwrap_or(0).to_be_bytes());
        }
        _ => {
            out.push(major | 26);
            out.put(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

/// A head of the given major type, shortest form, at most `max`.
fn head(reader: &mut Reader<'_>, major: u8, max: usize) -> Result<usize, DecodeError> {
    let first = reader.u8()?;
    if first >> 5 != major {
        return Err(DecodeError::Value("cbor type"));
    }
    let (value, least) = match first & 31 {
        direct @ 0..=23 => (u32::from(direct), 0),
        24 => (u32::from(reader.u8()?), 24),
        25 => (u32::from(reader.u16()?), 0x100),
        26 => (reader.u32()?, 0x1_0000),
        _ => return Err(DecodeError::Value("cbor length")),
    };
    if value < least {
        return Err(DecodeError::Value("cbor length"));
    }
    let value = usize::try_from(value).unwrap_or(usize::MAX);
    if value > max {
        Err(DecodeError::Limit("cbor length"))
    } else {
        Ok(value)
    }
}
