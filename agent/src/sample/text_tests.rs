//! Shortening, on texts of both kinds and on any.

use proptest::prelude::*;

use super::*;

fn parts(texts: &[&str]) -> Vec<Part> {
    texts.iter().map(|text| Part { text: (*text).to_owned(), left_out: 0 }).collect()
}

/// What stands between the marks, and how many bytes all marks stand for.
fn pieces(text: &str) -> (Vec<&str>, usize) {
    let (mut pieces, mut left_out, mut rest) = (Vec::new(), 0, text);
    while let Some((start, end, bytes)) = find_mark(rest) {
        pieces.push(&rest[..start]);
        left_out += bytes;
        rest = &rest[end..];
    }
    pieces.push(rest);
    (pieces, left_out)
}

#[test]
fn long_texts_are_cut_between_characters() {
    assert_eq!(cut("short".to_owned()), "short");
    assert_eq!(cut("x".repeat(5000)).len(), 4096);
    let cut_text = cut("€".repeat(2000));
    assert_eq!(cut_text.len(), 4095);
    assert!(cut_text.ends_with('€'));
}

#[test]
fn the_main_class_behind_a_long_class_path_is_kept_at_every_bound() {
    let class_path: String = (0..120).map(|n| format!("/opt/app/lib/dependency-{n:04}-1.2.3.jar:")).collect();
    let given = ["java", "-Xmx1g", "-cp", &class_path, "com.example.orders.Main", "--port", "8080"];
    let (mut text, is_shortened) = line(&parts(&given));
    assert!(is_shortened && text.len() <= MAX_STRING_BYTES && text.len() > MAX_STRING_BYTES - 8);
    for most in [4096, 2048, 1024, 512, 256, 128] {
        text = shorter_line(&text, most).unwrap_or(text);
        assert!(text.len() <= most, "{text}");
        assert!(text.starts_with("java -Xmx1g -cp /opt/"), "{text}");
        assert!(text.ends_with(".jar: com.example.orders.Main --port 8080"), "{text}");
        let (pieces, left_out) = pieces(&text);
        assert_eq!(pieces.concat().len() + left_out, given.join(" ").len(), "{text}");
    }
    assert!(text.contains(" bytes]…"), "{text}");
}

#[test]
fn the_longest_arguments_are_cut_first_and_short_ones_stay_whole() {
    let long = ["a".repeat(3000), "b".repeat(3000), "c".repeat(900)];
    let (text, _) = line(&parts(&["app", &long[0], "--flag", &long[1], &long[2], "end"]));
    assert!(text.contains(" --flag b") && text.ends_with(&format!(" {} end", long[2])), "{text}");
    let letters = |letter: char| text.chars().filter(|found| *found == letter).count();
    assert!(letters('a').abs_diff(letters('b')) < 20 && letters('a') > 1400, "{}", letters('a'));
}

#[test]
fn of_very_many_words_the_first_and_the_last_are_kept() {
    let many: Vec<String> = (0..3000).map(|n| format!("file-{n:04}.txt")).collect();
    let mut texts = vec!["rm", "-f"];
    texts.extend(many.iter().map(String::as_str));
    let (text, _) = line(&parts(&texts));
    assert!(text.starts_with("rm -f file-0000.txt ") && text.ends_with(" file-2999.txt"), "{text}");
    assert!(text.len() > 4000 && text.len() <= MAX_STRING_BYTES && text.contains(" …["), "{}", text.len());
    let short = shorter_line(&text, 128).unwrap();
    let (pieces, left_out) = pieces(&short);
    assert_eq!((pieces.len(), pieces.concat().len() + left_out), (2, texts.join(" ").len()), "{short}");
    assert!(short.starts_with("rm -f file-0000.txt") && short.ends_with(" file-2999.txt"), "{short}");
}

#[test]
fn a_path_loses_its_middle() {
    let path = format!("/srv/{}/bin/app", "deep/".repeat(800));
    let short = shorter_word(&path, 256).unwrap();
    assert!(
        short.starts_with("/srv/deep/") && short.ends_with("/deep//bin/app") && short.len() <= 256,
        "{short}"
    );
    let shorter = shorter_word(&short, 128).unwrap();
    assert!(pieces(&shorter).0.concat().len() + pieces(&shorter).1 == path.len(), "{shorter}");
    assert_eq!(shorter_word("/bin/sh", 128), None);
}

#[test]
fn what_was_not_looked_at_is_marked_even_in_a_short_line() {
    let given = [
        Part { text: "sh -c".to_owned(), left_out: 0 },
        Part { text: "PATH=".to_owned(), left_out: 1_234_567 },
        Part { text: String::new(), left_out: 12 },
        Part { text: "end".to_owned(), left_out: 0 },
    ];
    let expected = "sh -c PATH=…[1,234,567 bytes]… …[12 bytes]… end";
    assert_eq!(line(&given), (expected.to_owned(), true));
    assert_eq!(line(&parts(&["a", "", "b"])), ("a  b".to_owned(), false));
}

#[test]
fn a_program_that_writes_marks_itself_changes_numbers_only() {
    let own = "…[18446744073709551615 bytes]…";
    let text = format!("app {own} {} {own}x …[ bytes]… …[1", "y".repeat(9000));
    let short = shorter_line(&text, 1024).unwrap();
    assert!(
        short.len() <= 1024 && short.starts_with("app …[18,446,744,073,709,551,615 bytes]… y"),
        "{short}"
    );
    assert!(short.ends_with("x …[ bytes]… …[1"), "{short}");
}

proptest! {
    #[test]
    fn any_line_is_short_enough_keeps_both_ends_and_accounts_for_every_byte(
        words in prop::collection::vec("[a-zäß€]{0,90}|x{400,900}", 1..60),
        most in 128_usize..2000,
    ) {
        let text = words.join(" ");
        match shorter_line(&text, most) {
            None => prop_assert!(text.len() <= most),
            Some(short) => {
                prop_assert!(short.len() <= most);
                let (pieces, left_out) = pieces(&short);
                prop_assert_eq!(pieces.concat().len() + left_out, text.len());
                let (first, last) = (pieces[0], pieces[pieces.len() - 1]);
                prop_assert!(text.starts_with(first) && text.ends_with(last));
                prop_assert!(pieces.iter().all(|piece| text.contains(piece)));
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[ a…\\[\\] bytes0-9,]{0,600}", most in 128_usize..300) {
        prop_assert!(shorter_line(&text, most).is_none_or(|short| short.len() <= most));
        prop_assert!(shorter_word(&text, most).is_none_or(|short| short.len() <= most));
    }
}
