//! What a server says is in a folder: a multistatus document (RFC 4918).
//!
//! In: its bytes, whatever they are. Out: the last part of each path, its size, and when it was changed. Nothing else of it
//! is looked at, and nothing in it can make more of itself: entities are not expanded. What has not the name and the size of
//! ours is somebody else's, whose folder it may be.

use quick_xml::Reader;
use quick_xml::events::Event;
use stonechat_wire::drop::{ObjectName, SIZES};

use super::http::unix_ms;

/// Longest listing that is read, in bytes.
pub const LISTING_BYTES_MAX: usize = 16 << 20;
/// Most names of one listing.
pub const NAMES_MAX: usize = 32_768;
/// The first day of which there can be a folder: 1 January 2026.
const FIRST_DAY: u32 = 20_454;
/// Longest text of an element that is looked at, in bytes.
const TEXT_MAX: usize = 1024;

/// What stands in a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Objects, the oldest first.
    pub(super) objects: Vec<Listed>,
    /// Folders of days, by their number.
    pub(super) days: Vec<u32>,
    /// How many names are not ours; the folder's own may be among them.
    pub(super) others: usize,
    /// Nothing was left out.
    pub(super) is_whole: bool,
}

/// An object in a listing.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    /// Unix ms; 0 where the server does not say.
    pub(super) changed_ms: u64,
    pub(super) name: ObjectName,
}

/// The texts of one `response`.
#[derive(Default)]
struct Response {
    href: String,
    changed: String,
    size: String,
}

/// Which text is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Other,
    Href,
    Changed,
    Size,
}

/// Reads a listing. What is no name of ours is left out; what comes after something that is no XML, too.
pub(super) fn read(bytes: &[u8], was_cut: bool) -> Listing {
    let (text, is_text) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, true),
        Err(error) => (
            std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default(),
            false,
        ),
    };
    let mut listing = Listing::default();
    let mut reader = Reader::from_str(text);
    let (mut response, mut reading) = (Response::default(), Text::Other);
    let is_read = loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => match start.local_name().as_ref() {
                "response" => response = Response::default(),
                "href" if response.href.is_empty() => reading = Text::Href,
                "getlastmodified" => reading = Text::Changed,
                "getcontentlength" => reading = Text::Size,
                _ => reading = Text::Other,
            },
            Ok(Event::Text(text)) => response.take(reading, &text.into_inner()),
            Ok(Event::End(end)) => {
                reading = Text::Other;
                if end.local_name().as_ref() == "response" && !listing.add(&response) {
                    break false;
                }
            }
            Ok(Event::Eof) => break true,
            Err(_) => break false,
            Ok(_) => {}
        }
    };
    listing.is_whole = is_read && is_text && !was_cut;
    listing.objects.sort_unstable();
    listing.days.sort_unstable();
    listing
}

impl Response {
    fn take(&mut self, reading: Text, text: &str) {
        let to = match reading {
            Text::Other => return,
            Text::Href => &mut self.href,
            Text::Changed => &mut self.changed,
            Text::Size => &mut self.size,
        };
        if to.len().saturating_add(text.len()) <= TEXT_MAX {
            to.push_str(text);
        }
    }
}

impl Listing {
    /// Of a folder that is not there.
    pub(super) const fn none() -> Self {
        Self {
            objects: Vec::new(),
            days: Vec::new(),
            others: 0,
            is_whole: true,
        }
    }

    /// Nothing stands in a day's folder, of which this is the listing, but what it says of itself.
    pub(super) fn is_empty_day(&self) -> bool {
        self.is_whole && self.objects.is_empty() && self.others == 0 && self.days.len() <= 1
    }

    /// Out: whether there is room for more.
    fn add(&mut self, response: &Response) -> bool {
        let path = response.href.trim().trim_end_matches('/');
        let last = path.rsplit('/').next().unwrap_or_default();
        let size: Option<usize> = response.size.trim().parse().ok();
        let fits = size.is_none_or(|size| SIZES.contains(&size));
        if let Some(name) = ObjectName::from_text(last).filter(|_| fits) {
            let changed = httpdate::parse_http_date(response.changed.trim());
            let changed_ms = changed.map(unix_ms).unwrap_or_default();
            self.objects.push(Listed { changed_ms, name });
        } else if let Some(day) = day_of(last) {
            self.days.push(day);
        } else {
            self.others += 1;
        }
        self.objects.len() + self.days.len() < NAMES_MAX
    }
}

/// Days since 1970, of a time when there are drops: no year, and few other numbers that somebody calls a folder by.
fn day_of(text: &str) -> Option<u32> {
    let is_number = text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let day = is_number.then(|| text.parse().ok()).flatten();
    day.filter(|day| *day >= FIRST_DAY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "000102030405060708090a0b0c0d0e0f";

    fn response(href: &str, more: &str) -> String {
        format!("<D:response><D:href>{href}</D:href>{more}</D:response>")
    }

    fn listed(inner: &str) -> Listing {
        let xml = format!("<?xml version=\"1.0\"?>\n<D:multistatus xmlns:D=\"DAV:\">{inner}</D:multistatus>");
        read(xml.as_bytes(), false)
    }

    #[test]
    fn names_days_and_times_are_read_and_nothing_else_drp_9() {
        let changed = "<D:propstat><D:prop><D:getlastmodified>Mon, 30 Nov 2026 04:00:00 GMT</D:getlastmodified></D:prop>\
                       <D:status>HTTP/1.1 200 OK</D:status></D:propstat>";
        let other = "100102030405060708090A0B0C0D0E0F";
        let inner = [
            response("/dav/drop/", ""),
            response(&format!("/dav/drop/20787/{NAME}"), changed),
            response(&format!("https://h.example/dav/drop/{other}"), ""),
            response("/dav/drop/20787/", ""),
            response("/dav/drop/holidays.jpg", changed),
            response("/dav/drop/&lol;/123", ""),
        ];
        let listing = listed(&inner.concat());
        let names: Vec<_> = listing
            .objects
            .iter()
            .map(|one| (one.changed_ms, one.name.to_text()))
            .collect();
        assert_eq!(names, [(0, other.to_lowercase()), (1_796_011_200_000, NAME.to_owned())]);
        assert_eq!((listing.days, listing.is_whole), (vec![20_787], true));
    }

    #[test]
    fn what_has_not_the_size_of_ours_or_the_number_of_a_day_is_somebody_elses_drp_8() {
        let sized = |size: &str| format!("<D:getcontentlength>{size}</D:getcontentlength>");
        let of = |href: &str, size: &str| listed(&response(href, &sized(size)));
        let ours = format!("/d/{NAME}");
        assert_eq!(
            (of(&ours, "4096").objects.len(), of(&ours, "4097").objects.len()),
            (1, 0)
        );
        assert_eq!((of(&ours, "4097").others, of(&ours, "?").objects.len()), (1, 1));
        for folder in ["1999", "2026", "10115", "020787", "20453", "1234567", "2078a"] {
            let listing = listed(&response(&format!("/d/{folder}/"), ""));
            assert!(listing.days.is_empty() && listing.others == 1, "{folder}");
        }
        assert!(listed(&response("/d/20787/", "")).is_empty_day());
        assert!(!listed(&[response("/d/20787/", ""), response("/d/20787/a.jpg", "")].concat()).is_empty_day());
    }

    #[test]
    fn other_prefixes_and_none_are_read_too_drp_9() {
        for prefix in ["d:", "lp1:", ""] {
            let xml = format!("<{prefix}response><{prefix}href>/x/{NAME}</{prefix}href></{prefix}response>");
            assert_eq!(read(xml.as_bytes(), false).objects.len(), 1, "{prefix}");
        }
    }

    #[test]
    fn a_listing_without_end_or_of_too_many_names_is_not_whole_drp_9() {
        let one = response(&format!("/x/{NAME}"), "");
        let cut = format!("<D:multistatus xmlns:D=\"DAV:\">{one}<D:respo");
        let listing = read(cut.as_bytes(), false);
        assert_eq!((listing.objects.len(), listing.is_whole), (1, false));
        assert!(!read(b"", true).is_whole && !read(b"<a>\xff</a>", false).is_whole);
        let many = listed(&one.repeat(NAMES_MAX + 5));
        assert_eq!((many.objects.len(), many.is_whole), (NAMES_MAX, false));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_listing_of_something_drp_9(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "(<|>|/|&|;|!|\\[|\\]|-|D:|response|href|getlastmodified|CDATA|DOCTYPE|a|1| |\")*",
        ) {
            let _ = (read(&bytes, false), read(text.as_bytes(), true));
        }
    }
}
