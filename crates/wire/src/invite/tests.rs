use super::*;
use proptest::prelude::*;
use std::vec;

fn link() -> InviteLink {
    InviteLink {
        hints: vec!["192.168.100.200:54443".into()],
        secret: InviteSecret::from_bytes([7; 20]),
        pin: [8; 16],
        expiry_day: 20_600,
    }
}

fn three_hints() -> InviteLink {
    InviteLink {
        hints: vec!["a:1".into(), "[::1]:2".into(), "relay.example.org:3".into()],
        ..link()
    }
}

#[test]
fn a_link_reads_back_and_is_short_inv_1() {
    let url = link().to_url();
    assert!(
        url.starts_with("http://192.168.100.200:54443/") && url.len() <= 120,
        "{url}"
    );
    assert_eq!(InviteLink::parse(&url), Ok(link()));
    let https = url.replace("http://192.168.100.200:54443", "https://relay.example.org");
    assert_eq!(
        InviteLink::parse(&https).unwrap().hints,
        ["https://relay.example.org:443"]
    );
}

#[test]
fn a_link_names_the_further_places_of_its_address_inv_1() {
    let address = "https://relay.example.org:443,192.0.2.7:443,[2001:db8::7]:8443";
    let link = InviteLink {
        hints: vec![address.into()],
        ..link()
    };
    let url = link.to_url();
    assert!(url.starts_with("https://relay.example.org:443/"), "{url}");
    assert!(!url.contains(',') && url.len() <= 150, "{url}");
    assert_eq!(InviteLink::parse(&url), Ok(link.clone()));
    assert_eq!(InviteLink::parse(&link.to_code()), Ok(link.clone()));
    let (place, fragment) = url.split_once('#').unwrap();
    let with = |more: &[u8]| {
        let bytes = [&link.fragment()[..], more].concat();
        InviteLink::parse(&std::format!("{place}#{}", to_base64(&bytes)))
    };
    assert!(fragment.len() > 52 && with(&[4, 192, 0, 2, 7, 1, 187]).is_ok());
    let cut: &[u8] = &[4, 192, 0, 2, 7, 1];
    let place_0 = [4, 192, 0, 2, 7, 0, 0];
    let four = [4, 192, 0, 2, 7, 1, 187].repeat(4);
    for bad in [
        cut,
        &[5, 192, 0, 2, 7, 1, 187],
        &place_0,
        &[4, 0, 0, 0, 0, 1, 187],
        &four,
    ] {
        assert_eq!(with(bad), Err(LinkError::Broken), "{bad:?}");
    }
}

/// What a code cannot hold a link does not either: found by the fuzzer.
#[test]
fn an_address_that_is_too_long_is_no_links_inv_1() {
    let of = |host: usize, places: &str| InviteLink {
        hints: vec![std::format!("https://{}:542{places}", "a".repeat(host))],
        ..link()
    };
    for (host, places) in [(92, ""), (50, ",192.0.2.7:443,192.0.2.8:8443")] {
        let url = of(host, places).to_url();
        assert_eq!(InviteLink::parse(&url), Ok(of(host, places)));
    }
    for (host, places) in [(93, ""), (72, ",192.0.2.7:443,192.0.2.8:8443")] {
        let url = of(host, places).to_url();
        assert_eq!(InviteLink::parse(&url), Err(LinkError::Broken), "{url}");
    }
}

#[test]
fn a_code_carries_up_to_three_hints_inv_2() {
    let code = three_hints().to_code();
    assert!(code.starts_with("stone:i"), "{code}");
    assert_eq!(InviteLink::parse(&code), Ok(three_hints()));
    let mut four = three_hints();
    four.hints.push("d:4".into());
    assert_eq!(InviteLink::parse(&four.to_code()), Ok(three_hints()));
}

#[test]
fn a_pin_belongs_to_one_secret_and_one_account_inv_3() {
    let (secret, account) = (InviteSecret::from_bytes([7; 20]), AccountId::from_bytes([1; 32]));
    let pin = account_pin(&secret, account);
    assert_ne!(pin, account_pin(&InviteSecret::from_bytes([8; 20]), account));
    assert_ne!(pin, account_pin(&secret, AccountId::from_bytes([2; 32])));
}

#[test]
fn path_and_proof_come_from_the_secret_and_tell_nothing_of_each_other_inv_4() {
    let secret = InviteSecret::from_bytes([7; 20]);
    assert_eq!(secret.path().as_bytes(), &hmac(&[7; 20], &[b"path"])[..12]);
    assert_eq!(secret.proof(), hmac(&[7; 20], &[b"door"])[..16]);
    assert_eq!(secret.proof_hash(), sha256(&[&secret.proof()]));
}

#[test]
fn every_role_has_its_own_mailbox_and_key_inv_5() {
    let secret = InviteSecret::from_bytes([7; 20]);
    let roles = [
        ROLE_CARD.to_vec(),
        ROLE_CLAIM.to_vec(),
        answer_role([1; 32]),
        answer_role([2; 32]),
    ];
    for (at, role) in roles.iter().enumerate() {
        let envelope = crate::envelope::seal(&secret.key(role), secret.token(role).tag(), [0; 16], b"x").unwrap();
        for (other_at, other) in roles.iter().enumerate() {
            assert_eq!(
                crate::envelope::open(&secret.key(other), &envelope).is_ok(),
                at == other_at
            );
            assert_eq!(secret.token(other).tag() == envelope.tag(), at == other_at);
        }
    }
}

#[test]
fn a_link_is_found_in_the_message_around_it_inv_6() {
    let url = link().to_url();
    for text in [
        std::format!("Come here: <{url}>, bye"),
        std::format!("\n {url}.\n"),
        std::format!("http://x.org {url}"),
    ] {
        assert_eq!(InviteLink::parse(&text), Ok(link()), "{text}");
    }
}

#[test]
fn bad_links_are_told_apart_inv_6() {
    let (url, code) = (link().to_url(), link().to_code());
    let newer = std::format!("stone:i{}", to_base64(&[2; 39]));
    let cases = [
        ("empty", String::new(), LinkError::NotALink),
        ("prose", "hello there".into(), LinkError::NotALink),
        (
            "another site",
            "https://example.org/a/page#part".into(),
            LinkError::NotALink,
        ),
        (
            "a site without a path",
            "https://example.org".into(),
            LinkError::NotALink,
        ),
        ("a book", "x ".repeat(3000), LinkError::NotALink),
        ("a link cut at its end", url[..url.len() - 2].into(), LinkError::Broken),
        (
            "a link without its fragment",
            url.split('#').next().unwrap().into(),
            LinkError::Broken,
        ),
        ("a link of another secret's path", other_path(&url), LinkError::Broken),
        ("a link with a longer fragment", url.clone() + "AAAA", LinkError::Broken),
        (
            "a link to no host",
            url.replace("192.168.100.200:54443", ":1"),
            LinkError::Broken,
        ),
        (
            "a code cut at its end",
            code[..code.len() - 1].into(),
            LinkError::Broken,
        ),
        (
            "a code with one letter wrong",
            code.replacen("stone:iAQ", "stone:iAA", 1),
            LinkError::Broken,
        ),
        ("only the prefix", "stone:i".into(), LinkError::Broken),
        ("not base64", "stone:i***".into(), LinkError::Broken),
        ("a newer code", newer, LinkError::Newer),
        ("a route", "stone:rAQAB".into(), LinkError::IsRoute),
    ];
    for (name, text, error) in cases {
        assert_eq!(InviteLink::parse(&text), Err(error), "{name}: {text}");
    }
}

/// The same link with a path that its secret does not give.
fn other_path(url: &str) -> String {
    let wrong = DoorPath::from_bytes([0; 12]).to_text();
    url.replace(&link().secret.path().to_text(), &wrong)
}

#[test]
fn an_invite_does_not_print_its_secret_inv_7() {
    let printed = std::format!("{:?} {:?}", link(), link().secret);
    assert_eq!(printed, "InviteLink(1 hints, day 20600) InviteSecret(..)");
}

proptest! {
    #[test]
    fn every_invite_reads_back_inv_1(
        (secret, pin, expiry_day) in any::<([u8; 20], [u8; 16], u16)>(),
        hints in prop::collection::vec("[a-z0-9]{1,20}\\.[a-z]{2,3}:[1-9][0-9]{0,3}", 1..=3),
    ) {
        let secret = InviteSecret::from_bytes(secret);
        let link = InviteLink { hints: hints.clone(), secret: secret.clone(), pin, expiry_day };
        prop_assert_eq!(InviteLink::parse(&link.to_code()), Ok(link.clone()));
        let one = InviteLink { hints: vec![hints[0].clone()], ..link };
        prop_assert_eq!(InviteLink::parse(&one.to_url()), Ok(one));
    }

    #[test]
    fn any_text_parses_or_errs_inv_6(text in "\\PC{0,200}", code in "[A-Za-z0-9_-]{0,120}") {
        let _ = InviteLink::parse(&text);
        let _ = InviteLink::parse(&std::format!("stone:i{code}"));
        let _ = InviteLink::parse(&std::format!("http://a:1/{code}#{code}"));
    }
}
