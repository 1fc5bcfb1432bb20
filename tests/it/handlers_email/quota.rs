//! `max_per_hour`.

use super::*;

#[tokio::test]
async fn what_is_too_much_for_an_hour_becomes_the_next_hours_digest() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let text = format!("smtp = \"{}\"\n{WORDS}max_per_hour = 2", plain_url(&server));
    let context = context_with(folder.path(), Arc::<ManualClock>::clone(&clock));
    let mail = settings("email", &text, folder.path()).build(&context).unwrap();
    mail.handle(&[comment(1)]).await.unwrap();
    mail.handle(&[comment(2)]).await.unwrap();
    clock.advance(Duration::from_mins(15));
    let mut waiting = Vec::new();
    for number in 3..=5 {
        let failure = mail.handle(&[comment(number)]).await.unwrap_err();
        assert_put_off(&failure, Duration::from_mins(45), &[]);
        waiting.push(comment(number));
    }
    clock.advance(Duration::from_mins(45));
    waiting.push(comment(6));
    mail.handle(&waiting).await.unwrap();
    let stored = server.stored();
    assert_eq!(stored.len(), 4);
    assert_eq!(subjects(&server)[2..], ["3 events: Comment 3", "Comment 6"]);
}

#[tokio::test]
async fn events_that_come_at_once_are_mails_of_their_own_up_to_the_hours_last() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (folder, mail) = handler(&server, &plain_url(&server), "max_per_hour = 3");
    let five: Vec<Delivery> = (1..=5).map(comment).collect();
    mail.handle(&five).await.unwrap();
    assert_eq!(subjects(&server), ["Comment 1", "Comment 2", "3 events: Comment 3"]);
    let failure = mail.handle(&[comment(6)]).await.unwrap_err();
    assert_put_off(&failure, Duration::from_hours(1), &[]);
    // A batch that was asked for is one mail.
    let context = BuildContext { batch: NonZeroUsize::new(9), ..context(folder.path()) };
    let text = format!("smtp = \"{}\"\n{WORDS}max_per_hour = 3", plain_url(&server));
    let mail = settings("email", &text, folder.path()).build(&context).unwrap();
    mail.handle(&five).await.unwrap();
    assert_eq!(subjects(&server)[3..], ["5 events: Comment 1"]);
}

#[tokio::test]
async fn what_does_not_fit_into_the_hour_goes_in_the_next_ones_the_oldest_first() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (clock, _folder, mail) = handler_to_each(&server, "max_per_hour = 2");
    // The oldest one's address is the last by its letters.
    let mut left: Vec<Delivery> =
        (1..=40).map(|number| to(number, &format!("{:02}@example.org", 99 - number))).collect();
    for hour in 0..19 {
        let failure = mail.handle(&left).await.unwrap_err();
        let done = [2 * hour + 1, 2 * hour + 2];
        assert_put_off(&failure, Duration::from_hours(1), &done);
        left.retain(|one| !failure.done.contains(&one.event.id));
        clock.advance(Duration::from_hours(1));
    }
    mail.handle(&left).await.unwrap();
    let expected: Vec<String> = (1..=40).map(|number| format!("Comment {number}")).collect();
    assert_eq!(subjects(&server), expected);
}

#[tokio::test]
async fn a_mail_that_fails_leaves_its_room_in_the_hour_to_others() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_folder, mail) = handler(&server, &plain_url(&server), "max_per_hour = 2");
    let two = [comment(1), comment(2)];
    for _ in 0..3 {
        server.will("MAIL", Quirk::Say("451 4.3.0 come back later"));
        let failure = mail.handle(&two).await.unwrap_err();
        assert_transient(&failure);
        assert!(failure.done.is_empty());
    }
    // A call that is dropped gives back as well.
    server.will("MAIL", Quirk::Hang);
    drop_in_mid_way(&server, mail.as_ref(), &two).await;
    mail.handle(&two).await.unwrap();
    assert_eq!(subjects(&server), ["Comment 1", "Comment 2"]);
    let failure = mail.handle(&[comment(3)]).await.unwrap_err();
    assert_put_off(&failure, Duration::from_hours(1), &[]);
}

#[tokio::test]
async fn as_long_as_the_hour_has_room_each_is_a_mail_of_its_own_however_old() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    clock.advance(Duration::from_hours(5));
    let text = format!("smtp = \"{}\"\n{WORDS}max_per_hour = 30", plain_url(&server));
    let context = context_with(folder.path(), Arc::<ManualClock>::clone(&clock));
    let mail = settings("email", &text, folder.path()).build(&context).unwrap();
    let mut left: Vec<Delivery> = (1..=25).map(comment).collect();
    for delivery in &mut left {
        delivery.attempt = 2;
    }
    // One call takes only so many; the others are due at once.
    let failure = mail.handle(&left).await.unwrap_err();
    assert_put_off(&failure, Duration::ZERO, &(1..=20).collect::<Vec<_>>());
    mail.handle(&left[20..]).await.unwrap();
    let expected: Vec<String> = (1..=25).map(|number| format!("Comment {number}")).collect();
    assert_eq!(subjects(&server), expected);
}
