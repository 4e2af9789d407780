//! Photos as files: JPEG (ITU T.81), walked through segment by segment without decoding.
//!
//! In: a file of the person, or a stranger's bytes. Out: the file without anything that is no picture (where it was
//! taken, when, by whom); its measures. What a sender must take out, a receiver does not let in.
//! Specified in `docs/protocol/13-content.md` (CON-15).

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader};

/// Longest side of a photo, in pixels (CON-15).
pub const SIDE_MAX: u16 = 4096;

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;

/// Width and height, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measures {
    /// Pixels from left to right.
    pub width: u16,
    /// Pixels from top to bottom.
    pub height: u16,
}

/// Checks a photo. Errors: no JPEG, more than [`SIDE_MAX`], anything in it that is no picture.
pub fn check(bytes: &[u8]) -> Result<Measures, DecodeError> {
    let (bare, measures) = walk(bytes)?;
    if bare.len() == bytes.len() {
        Ok(measures)
    } else {
        Err(DecodeError::Value("more than a picture"))
    }
}

/// The picture alone. Errors: no JPEG, more than [`SIDE_MAX`].
pub fn bare(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    walk(bytes).map(|(bare, _)| bare)
}

fn walk(bytes: &[u8]) -> Result<(Vec<u8>, Measures), DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.array()? != [0xff, START] {
        return Err(DecodeError::Value("jpeg"));
    }
    let mut out = Vec::with_capacity(bytes.len());
    out.extend([0xff, START]);
    let (mut measures, mut scans) = (None, 0_usize);
    loop {
        let [0xff, marker] = reader.array()? else {
            return Err(DecodeError::Value("jpeg marker"));
        };
        if marker == END {
            out.extend([0xff, END]);
            let measures = measures.filter(|_| scans > 0);
            return measures.map(|found| (out, found)).ok_or(DecodeError::Value("jpeg"));
        }
        let segment = segment(&mut reader)?;
        match marker {
            0xc0..=0xc2 if measures.is_none() => measures = Some(measured(segment)?),
            0xc4 | 0xdb | 0xdd => {}
            SCAN if measures.is_some() => scans = scans.saturating_add(1),
            // JFIF's density and Adobe's colours; what else these hold goes.
            0xe0 if segment.starts_with(b"JFIF\0") && segment.len() == 14 && segment.ends_with(&[0, 0]) => {}
            0xee if segment.starts_with(b"Adobe") && segment.len() == 12 => {}
            0xe0..=0xef | 0xfe => continue,
            _other => return Err(DecodeError::Value("jpeg marker")),
        }
        put(&mut out, marker, segment);
        if marker == SCAN {
            out.extend(coded(&mut reader)?);
        }
    }
}

fn segment<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let length = usize::from(reader.u16()?)
        .checked_sub(2)
        .ok_or(DecodeError::Value("jpeg segment"))?;
    reader.take(length)
}

fn put(out: &mut Vec<u8>, marker: u8, segment: &[u8]) {
    let length = u16::try_from(segment.len().saturating_add(2)).unwrap_or(u16::MAX);
    out.extend([0xff, marker]);
    out.extend(length.to_be_bytes());
    out.extend(segment);
}

/// Eight bits a sample; one or three components, each with its three bytes.
fn measured(frame: &[u8]) -> Result<Measures, DecodeError> {
    let mut reader = Reader::new(frame);
    let (depth, height, width) = (reader.u8()?, reader.u16()?, reader.u16()?);
    let components = reader.u8()?;
    let rest = usize::from(components).saturating_mul(3);
    if depth != 8 || !matches!(components, 1 | 3) || reader.rest().len() != rest || width == 0 || height == 0 {
        return Err(DecodeError::Value("jpeg frame"));
    }
    if width > SIDE_MAX || height > SIDE_MAX {
        return Err(DecodeError::Limit("photo side"));
    }
    Ok(Measures { width, height })
}

/// The bytes of a scan: up to the next marker that is no stuffing and no restart.
fn coded<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let rest = reader.rest();
    let ends = rest
        .windows(2)
        .position(|two| matches!(two, [0xff, marker] if *marker != 0 && !(0xd0..=0xd7).contains(marker)));
    reader.take(ends.ok_or(DecodeError::Short)?)
}

/// Photos for tests.
#[cfg(test)]
pub(crate) mod samples {
    use super::{END, SCAN, START, put};
    use std::vec;
    use std::vec::Vec;

    /// A photo with these segments besides.
    pub(crate) fn with(extra: &[(u8, &[u8])]) -> Vec<u8> {
        made(64, 48, extra, 0)
    }

    /// A photo of these measures and so many bytes more than the smallest.
    pub(crate) fn photo(width: u8, height: u8, more: usize) -> Vec<u8> {
        made(width, height, &[], more)
    }

    fn made(width: u8, height: u8, extra: &[(u8, &[u8])], more: usize) -> Vec<u8> {
        let mut out = vec![0xff, START];
        put(&mut out, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        extra
            .iter()
            .for_each(|(marker, segment)| put(&mut out, *marker, segment));
        put(&mut out, 0xdb, &[0; 65]);
        put(&mut out, 0xc0, &[8, 0, height, 0, width, 1, 1, 0x11, 0]);
        put(&mut out, 0xc4, &[0; 17]);
        put(&mut out, SCAN, &[1, 1, 0, 0, 63, 0]);
        out.extend(vec![7; more]);
        out.extend([1, 2, 0xff, 0, 3, 0xff, 0xd0, 4, 0xff, END]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use super::samples::with;

    #[test]
    fn where_a_photo_was_taken_is_taken_out_and_not_let_in_con_15() {
        let clean = with(&[]);
        let size = Measures { width: 64, height: 48 };
        assert_eq!(check(&clean), Ok(size));
        assert_eq!(bare(&clean), Ok(clean.clone()));
        for told in [
            &[(0xe1, &b"Exif\0\0GPS 59.93 N"[..])][..],
            &[(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")],
            &[(0xe2, b"ICC_PROFILE\0 serial 17"), (0xed, b"Photoshop 3.0\0by Lena")],
            &[(0xfe, b"a comment")],
            &[(0xe0, b"JFXX\0\x10 a small picture of all of it")],
        ] {
            let telling = with(told);
            assert_eq!(check(&telling), Err(DecodeError::Value("more than a picture")));
            assert_eq!(bare(&telling), Ok(clean.clone()));
        }
        // What stands behind the end: a film, another picture.
        let behind = [clean.as_slice(), b"hidden"].concat();
        assert_eq!(check(&behind), Err(DecodeError::Value("more than a picture")));
        assert_eq!(bare(&behind), Ok(clean));
    }

    #[test]
    fn adobes_colours_stay_and_what_else_it_says_goes_con_15() {
        let coloured = with(&[(0xee, b"Adobe\0\x64\0\0\0\0\x01")]);
        assert!(check(&coloured).is_ok());
        assert_eq!(bare(&coloured), Ok(coloured));
        for told in [&b"Adobe\0\x64\0\0\0\0\x01 by Lena"[..], b"not by Adobe"] {
            assert_eq!(bare(&with(&[(0xee, told)])), Ok(with(&[])));
        }
    }

    #[test]
    fn what_the_page_drew_in_chromium_is_a_photo_con_15() {
        let drawn = include_bytes!("../tests/fixtures/chromium.jpg");
        let bare = bare(drawn).unwrap();
        assert!(check(&bare).is_ok_and(|size| size.width > 300 && size.height > 300));
        assert!(drawn.len() - bare.len() < 700, "a colour profile at most");
    }

    #[test]
    fn what_is_no_photo_gives_its_error_con_15() {
        let clean = with(&[]);
        for at in 0..clean.len() - 1 {
            assert!(check(&clean[..at]).is_err(), "cut at {at}");
        }
        for (at, value, error) in [
            (1, END, DecodeError::Value("jpeg")),
            (93, 12, DecodeError::Value("jpeg frame")),
            (94, 0x11, DecodeError::Limit("photo side")),
        ] {
            let mut bad = clean.clone();
            bad[at - 1] = if at == 1 { 0 } else { bad[at - 1] };
            bad[at] = value;
            assert_eq!(check(&bad), Err(error), "{at}");
        }
        assert_eq!(check(&with(&[(0xc3, &[0; 9])])), Err(DecodeError::Value("jpeg marker")));
        assert_eq!(check(b"\x89PNG\r\n"), Err(DecodeError::Value("jpeg")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_photo_or_err_con_15(bytes in prop::collection::vec(any::<u8>(), 0..300), marker in 0xc0..=0xff_u8) {
            let _ = check(&bytes);
            let (one, other) = (bare(&[&[0xff, START][..], &bytes].concat()), bare(&with(&[(marker, &bytes)])));
            for photo in one.into_iter().chain(other) {
                prop_assert!(check(&photo).is_ok());
            }
        }
    }
}
