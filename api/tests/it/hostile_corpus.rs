//! Hostile names: every family of attack on anything that shows a text, in each of its forms.
#![cfg(target_os = "linux")]

/// A family: what each of its members begins with, and how each goes on.
type Family = (&'static [&'static [u8]], &'static [&'static [u8]]);

const FAMILIES: [Family; 22] = [
    // Markup, and the ways out of where a text stands.
    (
        &[b"", b"\">", b"'>", b"</td></tr></table>", b"</title>", b"-->", b"</textarea>", b"</script>"],
        &[
            b"<script>alert(1)</script>",
            b"<img src=x onerror=alert(1)>",
            b"<svg/onload=alert(1)>",
            b"<iframe src=javascript:alert(1)>",
            b"<details open ontoggle=alert(1)>",
            b"<base href=//x>",
            b"<style>*{display:none}",
        ],
    ),
    (&[b"<!--", b"<![CDATA[", b"]]>", b"&lt;b&gt;&#60;i&#62;", b"<", b"<b", b"&#x3c;script&#x3e;"], &[b""]),
    // Attributes.
    (
        &[b"\"", b"'", b"`", b" ", b"/"],
        &[b" onmouseover=alert(1) x=", b" autofocus onfocus=alert(1) ", b" style=x:expression(1)"],
    ),
    // Addresses.
    (
        &[
            b"javascript:",
            b"JaVaScRiPt:",
            b"java\tscript:",
            b"\x01javascript:",
            b"data:text/html,",
            b"vbscript:",
        ],
        &[b"alert(1)"],
    ),
    (
        &[b"//evil.example/", b"\\\\evil.example\\", b"file:///", b"?at=", b"#", b"%0d%0aset-cookie:"],
        &[b"x=1"],
    ),
    // Templates of this and other languages.
    (
        &[b"{{", b"${", b"#{", b"<%=", b"[[", b"{%", b"@{"],
        &[b"7*7}}", b"constructor.constructor('alert(1)')()}"],
    ),
    (&[b"`", b"'", b"\"", b"*/", b"\\'"], &[b";alert(1)//", b"-alert(1)-"]),
    // SQL.
    (
        &[b"'", b"\"", b"`", b"\\'", b"');", b"$$"],
        &[b"; DROP TABLE process; --", b" OR 1=1 --", b" UNION SELECT 1 /*"],
    ),
    // Spreadsheets.
    (
        &[b"=", b"+", b"-", b"@", b"\t=", b"\r=", b"\n=", b"\"=", b"\xef\xbc\x9d"],
        &[b"1+1", b"cmd|' /C calc'!A0", b"HYPERLINK(\"http://x\",\"y\")"],
    ),
    // Terminals: control sequences, commands to the terminal, and strings that it swallows.
    (&[b"\x1b[", b"\xc2\x9b", b"\x9b"], &[b"31m", b"2J", b"6n", b"?1049h", b"8m", b"1A"]),
    (
        &[b"\x1b]", b"\xc2\x9d", b"\x9d"],
        &[b"0;title\x07", b"52;c;eA==\x07", b"8;;http://x\x1b\\link\x1b]8;;\x1b\\", b"4;1;?\x07"],
    ),
    (&[b"\x1bP", b"\x1bX", b"\x1b^", b"\x1b_", b"\x1bc", b"\xc2\x90", b"\xc2\x85"], &[b"x\x1b\\"]),
    (&[b"\x08", b"\x7f", b"\x07", b"\x0e\x0f", b"\x05", b"\x11", b"\x1a"], &[b"hidden"]),
    // Directions.
    (
        &[
            b"\xe2\x80\xaa",
            b"\xe2\x80\xab",
            b"\xe2\x80\xac",
            b"\xe2\x80\xad",
            b"\xe2\x80\xae",
            b"\xe2\x81\xa6",
            b"\xe2\x81\xa7",
            b"\xe2\x81\xa8",
            b"\xe2\x81\xa9",
            b"\xe2\x80\x8e",
            b"\xe2\x80\x8f",
            b"\xd8\x9c",
        ],
        &[b"exe.gpj"],
    ),
    // Invisible characters: of no width, soft, fillers, tags.
    (
        &[
            b"\xe2\x80\x8b",
            b"\xe2\x80\x8c",
            b"\xe2\x80\x8d",
            b"\xe2\x81\xa0",
            b"\xef\xbb\xbf",
            b"\xc2\xad",
            b"\xcd\x8f",
            b"\xe1\xa0\x8e",
            b"\xe3\x85\xa4",
            b"\xf3\xa0\x81\x81",
            b"\xef\xb8\x8f",
        ],
        &[b"init"],
    ),
    // Lines that are none.
    (
        &[b"a\n", b"a\r", b"a\r\n", b"a\x0b", b"a\x0c", b"a\xc2\x85", b"a\xe2\x80\xa8", b"a\xe2\x80\xa9"],
        &[b"root 1 0.0 init", b"level=ERROR msg=forged"],
    ),
    // Invalid UTF-8: too long, too short, too high, halves of pairs.
    (
        &[
            b"\x80",
            b"\xbf",
            b"\xc0\x80",
            b"\xc1\xbf",
            b"\xe0\x80\x80",
            b"\xf0\x80\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"\xed\xa0\x80\xed\xb0\x80",
            b"\xfe",
            b"\xff",
            b"\xe2\x82",
            b"\xf0\x9f\x98",
            b"\xf5\x80\x80\x80",
        ],
        &[b"x"],
    ),
    // Formats.
    (&[b"%s%n%x", b"%1$n", b"{0}", b"{}", b"{:?}", b"\\x41\\e[31m", b"%00", b"$'\\n'"], &[b""]),
    // Paths, options and shells.
    (
        &[
            b"../../etc/passwd",
            b"..\\..\\x",
            b"/proc/self/mem",
            b"~root",
            b".",
            b"..",
            b"-",
            b"--help",
            b"CON",
            b"a:b",
        ],
        &[b""],
    ),
    (&[b"$(id)", b"`id`", b";id", b"|id", b"&id", b"%2e%2e%2f"], &[b""]),
    // JSON.
    (
        &[
            b"\"",
            b"\\",
            b"\\\"",
            b"\\u0000",
            b"\\ud800",
            b"\"}],\"processes\":[{\"pid\":1",
            b"{\"a\":1}",
            b"NaN",
        ],
        &[b""],
    ),
    // Logs.
    (&[b"level=ERROR", b"\" level=ERROR msg=\"", b"2026-11-21T00:00:00Z ERROR", b"\\n ERROR"], &[b" forged"]),
];

/// All of them, and those that are too long.
pub fn corpus() -> Vec<Vec<u8>> {
    let members = |(begins, goes_on): Family| {
        begins.iter().flat_map(move |begin| goes_on.iter().map(move |rest| [*begin, *rest].concat()))
    };
    let mut all: Vec<Vec<u8>> = FAMILIES.into_iter().flat_map(members).collect();
    // Cut at 4 KiB on the host, one of them within a letter.
    all.extend([
        b"<b>".repeat(5_000),
        [b"A".repeat(4_095), "é".into()].concat(),
        "\u{202e}".repeat(5_000).into(),
    ]);
    all.push([b"a".to_vec(), "\u{301}".repeat(500).into()].concat());
    all
}
