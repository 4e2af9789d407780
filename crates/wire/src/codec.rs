//! Reading and writing the protocol's binary shapes: big-endian numbers, fixed arrays, length-prefixed bytes.
//!
//! A [`Reader`] never looks past its end and never allocates more than what it was given.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than the shape needs.
    #[error("ends too early")]
    Short,
    /// Bytes after the end of the shape.
    #[error("goes on after its end")]
    Trailing,
    /// A version this build does not read.
    #[error("version {0} is newer than this build")]
    Version(u8),
    /// A length or count above its named limit.
    #[error("{0} is over its limit")]
    Limit(&'static str),
    /// A field with a value that means nothing.
    #[error("{0} has no such value")]
    Value(&'static str),
}

/// Takes fields off the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Value(what)),
        }
    }

    /// A fixed array behind a presence byte.
    pub(crate) fn option<const N: usize>(&mut self, what: &'static str) -> Result<Option<[u8; N]>, DecodeError> {
        if self.bool(what)? {
            self.array().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Bytes behind a u32 length of at most `max`.
    pub(crate) fn bytes(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if length > max {
            return Err(DecodeError::Limit(what));
        }
        self.take(length)
    }

    /// Text behind a u32 length of at most `max` bytes.
    pub(crate) fn text(&mut self, what: &'static str, max: usize) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.bytes(what, max)?).map_err(|_| DecodeError::Value(what))
    }

    /// A u16 count of at most `max`.
    pub(crate) fn count(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        let count = usize::from(self.u16()?);
        if count > max {
            Err(DecodeError::Limit(what))
        } else {
            Ok(count)
        }
    }

    /// A list behind a u16 count of at most `max`. Each item takes at least one byte, so a short input ends early.
    pub(crate) fn list<T>(
        &mut self,
        what: &'static str,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.count(what, max)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub(crate) const fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }
}

/// Appends fields to a vector.
pub(crate) trait Write {
    fn put(&mut self, bytes: &[u8]);
    fn put_bytes(&mut self, bytes: &[u8]);
    fn put_option<const N: usize>(&mut self, value: Option<&[u8; N]>);
    fn put_count(&mut self, count: usize);
}

impl Write for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    /// Bytes behind a u32 length.
    fn put_bytes(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.extend_from_slice(&length.to_be_bytes());
        self.extend_from_slice(bytes);
    }

    fn put_option<const N: usize>(&mut self, value: Option<&[u8; N]>) {
        self.push(u8::from(value.is_some()));
        self.extend_from_slice(value.map_or(&[], |bytes| bytes.as_slice()));
    }

    fn put_count(&mut self, count: usize) {
        self.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    }
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
