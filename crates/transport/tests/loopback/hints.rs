//! A reader that takes no pushes, through a real connection.

use stonechat_wire::frame::KNOWS_CREDITS;

use super::*;

#[tokio::test]
async fn a_reader_without_credit_is_told_and_gets_everything_when_it_likes_rly_45() {
    let house = House::new().await;
    let mut bo = Peer::open(&house).await;
    bo.send(ToRelay::Hello {
        version: 1,
        features: KNOWS_CREDITS,
        secret: house.relay.route.secret,
    })
    .await;
    let hello = bo.receive().await;
    assert!(matches!(hello, Some(FromRelay::Hello { features, .. }) if features & KNOWS_CREDITS != 0));
    let tag = token(1).tag();
    let (add, drop) = (vec![(tag, 0)], vec![]);
    bo.send(ToRelay::Subscribe { add, drop }).await;

    let mut ana = Client::new(&house.relay.route).await;
    let big = "x".repeat(30_000);
    let mut sent = Vec::new();
    for n in 0..40 {
        sent.push(ana.put(1, &format!("{n} {big}")).await);
    }
    ana.until_stored(&sent).await;

    // More than a megabyte waits; all that came of it are 29 bytes.
    let Some(FromRelay::Hint { tag: hinted, cursor }) = bo.receive().await else {
        panic!("no hint");
    };
    assert_eq!(hinted, tag);
    bo.send(ToRelay::Quota { request: 7 }).await;
    assert!(
        matches!(bo.receive().await, Some(FromRelay::Quota { request: 7, .. })),
        "nothing else"
    );

    let mut got = Vec::new();
    while got.len() < 40 {
        bo.send(ToRelay::Credit { bytes: 100_000 }).await;
        for _ in 0..3 {
            match bo.receive().await {
                Some(FromRelay::Arrived { cursor, envelope, .. }) => got.push((cursor, EnvelopeId::of(&envelope))),
                other => panic!("{other:?}"),
            }
            if got.len() == 40 {
                break;
            }
        }
    }
    assert!(got.iter().any(|(at, _)| *at == cursor), "what was hinted is among it");
    assert_eq!(got.iter().map(|(_, id)| *id).collect::<Vec<_>>(), sent);
}
