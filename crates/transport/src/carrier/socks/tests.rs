use proptest::prelude::*;
use tokio::io::duplex;

use super::*;

/// What is said to a proxy that answers so, and what comes of it.
async fn said(place: &str, login: Option<&Login>, answer: &[u8]) -> (Vec<u8>, Result<(), SocksError>) {
    let (mut near, mut far) = duplex(4096);
    far.write_all(answer).await.unwrap();
    let outcome = ask(&mut near, place, login).await;
    drop(near);
    let mut heard = Vec::new();
    // Its own answers are heard by nobody.
    far.read_to_end(&mut heard).await.unwrap();
    (heard, outcome)
}

const YES: &[u8] = &[5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 0, 80];

#[tokio::test]
async fn a_name_is_handed_over_as_a_name_prx_1() {
    let (heard, outcome) = said("abc.onion:443", None, YES).await;
    assert!(outcome.is_ok());
    assert_eq!(heard, [&[5, 1, 0, 5, 1, 0, 3, 9][..], b"abc.onion", &[1, 187]].concat());
}

#[tokio::test]
async fn numbers_are_handed_over_as_numbers_prx_1() {
    let (heard, _) = said("192.0.2.7:1", None, YES).await;
    assert_eq!(heard, [5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 7, 0, 1]);
    let (heard, _) = said("[2001:db8::7]:1", None, YES).await;
    assert_eq!(heard[6..8], [4, 0x20]);
    assert_eq!(heard.len(), 3 + 4 + 16 + 2);
}

#[tokio::test]
async fn a_name_and_a_password_are_told_to_whoever_asks_for_them_prx_2() {
    let login = Login::new(b"ana", b"geheim").unwrap();
    let answer = [&[5, 2, 1, 0][..], &YES[2..]].concat();
    let (heard, outcome) = said("a:1", Some(&login), &answer).await;
    assert!(outcome.is_ok());
    let expected = [
        &[5, 1, 2, 1, 3][..],
        b"ana",
        &[6],
        b"geheim",
        &[5, 1, 0, 3, 1],
        b"a",
        &[0, 1],
    ]
    .concat();
    assert_eq!(heard, expected);
    // A proxy that takes nobody's word gets none.
    let (heard, outcome) = said("a:1", Some(&login), YES).await;
    assert!(matches!(outcome, Err(SocksError::Denied)));
    assert_eq!(heard, [5, 1, 2]);
}

#[tokio::test]
async fn what_a_proxy_answers_is_told_apart_prx_4() {
    let cases: [(&[u8], &str); 8] = [
        (&[4, 0], "no such proxy"),
        (b"HTTP/1.1 400", "no such proxy"),
        (&[5, 255], "the proxy does not let in"),
        (&[5, 2], "the proxy does not let in"),
        (&[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0], "the proxy answers 5"),
        (&[5, 0, 5, 2], "early eof"),
        (&[5, 0, 5, 0, 0, 9, 1, 1, 1, 1, 1, 1], "no such proxy"),
        (&[5, 0, 4, 0, 0, 1, 0, 0, 0, 0, 0, 0], "no such proxy"),
    ];
    for (answer, why) in cases {
        // One that says no more is waited for by the caller, who has a limit.
        let (mut near, mut far) = duplex(4096);
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let error = ask(&mut near, "a:1", None).await.unwrap_err();
        assert_eq!(error.to_string(), why, "{answer:?}");
    }
}

#[tokio::test]
async fn the_longest_answer_is_read_to_its_end_and_no_further_prx_4() {
    let bound = [&[5, 0, 5, 0, 0, 3, 255][..], &[b'a'; 255], &[0, 80]].concat();
    assert!(bound.len() <= ANSWER_BYTES_MAX);
    let (mut near, mut far) = duplex(4096);
    far.write_all(&[&bound[..], b"more"].concat()).await.unwrap();
    ask(&mut near, "a:1", None).await.unwrap();
    let mut more = [0; 4];
    near.read_exact(&mut more).await.unwrap();
    assert_eq!(&more, b"more");
}

#[test]
fn a_proxy_is_named_by_a_url_prx_2() {
    let proxy: Proxy = "socks5://127.0.0.1:9050".parse().unwrap();
    assert_eq!((proxy.place(), proxy.login.is_some()), ("127.0.0.1:9050", false));
    let proxy: Proxy = " socks5h://an%40a:ge%3aheim@[::1]:1/ ".parse().unwrap();
    let login = proxy.login.as_ref().unwrap();
    assert_eq!(
        (proxy.place(), &login.name[..], &login.password[..]),
        ("[::1]:1", &b"an@a"[..], &b"ge:heim"[..])
    );
    let url = proxy.url_at("127.0.0.1:5".parse().unwrap());
    assert_eq!(url.as_str(), "socks5://%61%6E%40%61:%67%65%3A%68%65%69%6D@127.0.0.1:5");
    for bad in [
        "",
        "127.0.0.1:9050",
        "http://127.0.0.1:9050",
        "socks4://127.0.0.1:9050",
        "socks5://127.0.0.1",
        "socks5://127.0.0.1:0",
        "socks5://ana@127.0.0.1:1",
        "socks5://ana:@127.0.0.1:1",
        "socks5://:pw@127.0.0.1:1",
        "socks5://a%4:pw@127.0.0.1:1",
        "socks5://a%zz:pw@127.0.0.1:1",
        "socks5://a:1/path",
        "socks5://a:1,192.0.2.7:1",
    ] {
        assert_eq!(bad.parse::<Proxy>().err(), Some(NoProxy), "{bad}");
    }
    let long = format!("socks5://{}:pw@a:1", "a".repeat(FIELD_BYTES_MAX + 1));
    assert!(long.parse::<Proxy>().is_err(), "longer than SOCKS can say");
}

#[test]
fn a_proxys_name_and_password_do_not_print_prx_2() {
    let proxy: Proxy = "socks5://ana:geheim@proxy.example:1".parse().unwrap();
    let text = format!("{proxy:?} {:?} {NoProxy}", proxy.login);
    for secret in ["ana", "geheim", "proxy.example"] {
        assert!(!text.contains(secret), "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_a_proxy_says_ends_prx_4(answer in proptest::collection::vec(any::<u8>(), 0..400), known in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let begun = if known { vec![5, 0, 5, 0, 0] } else { vec![] };
        runtime.block_on(async {
            let (mut near, mut far) = duplex(4096);
            far.write_all(&[begun, answer].concat()).await.unwrap();
            far.shutdown().await.unwrap();
            let _ = ask(&mut near, "a:1", None).await;
        });
    }

    #[test]
    fn any_text_names_a_proxy_or_none_prx_2(text in "\\PC{0,60}") {
        let _ = text.parse::<Proxy>();
        let _ = format!("socks5://{text}").parse::<Proxy>();
    }
}
