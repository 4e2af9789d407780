//! The safety number as a code that a camera reads.
//!
//! In: the text of a code, or a typed value. Out: the other. Which number is whose is core's to say.
//! Specified in `docs/protocol/06-account.md` (SAFE-3).

use alloc::format;
use alloc::string::String;

use crate::codec::{DecodeError, Reader, from_base64, to_base64};
use crate::ids::AccountId;

/// First byte, and what a text of such a code begins with.
const VERSION: u8 = 1;
const PREFIX: &str = "stone:v";
/// Longest text that is looked at.
const TEXT_MAX: usize = 256;

/// Whose number it is, and the number (SAFE-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafetyCode {
    /// The lower account id of the two.
    pub low: AccountId,
    /// The higher one.
    pub high: AccountId,
    /// The sixty digits, two a byte.
    pub number: [u8; 30],
}

impl SafetyCode {
    /// `stone:v` and base64url of version 1 | lower id 32 | higher id 32 | number 30.
    pub fn to_text(&self) -> String {
        let bytes = [
            &[VERSION],
            self.low.as_bytes().as_slice(),
            self.high.as_bytes(),
            &self.number,
        ];
        format!("{PREFIX}{}", to_base64(&bytes.concat()))
    }

    /// Reads one. Errors: any other text, a newer version.
    pub fn from_text(text: &str) -> Result<Self, DecodeError> {
        const OTHER: DecodeError = DecodeError::Value("safety code");
        let text = text.trim();
        let coded = text.strip_prefix(PREFIX).filter(|_| text.len() <= TEXT_MAX);
        let bytes = coded.and_then(from_base64).ok_or(OTHER)?;
        let mut reader = Reader::new(&bytes);
        if reader.u8()? != VERSION {
            return Err(OTHER);
        }
        let code = Self {
            low: AccountId::from_bytes(reader.array()?),
            high: AccountId::from_bytes(reader.array()?),
            number: reader.array()?,
        };
        reader.end()?;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_and_nothing_else_is_one_safe_3() {
        let code = SafetyCode {
            low: AccountId::from_bytes([1; 32]),
            high: AccountId::from_bytes([2; 32]),
            number: [0x95; 30],
        };
        let text = code.to_text();
        assert_eq!(text.len(), 7 + 127);
        assert_eq!(SafetyCode::from_text(&format!(" {text}\n")), Ok(code));
        for other in [
            "",
            "stone:v",
            "stone:i",
            &text[..text.len() - 2],
            &text.replace("stone:v", "stone:d"),
        ] {
            assert!(SafetyCode::from_text(other).is_err(), "{other}");
        }
        assert!(SafetyCode::from_text(&format!("{text}AAAA")).is_err());
        assert!(SafetyCode::from_text(&format!("{text}{}", "A".repeat(TEXT_MAX))).is_err());
        // A newer one.
        assert!(SafetyCode::from_text(&text.replacen("stone:vA", "stone:vB", 1)).is_err());
    }
}
