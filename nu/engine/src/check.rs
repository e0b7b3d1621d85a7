//! Checks on text before it is parsed and on blocks after.
use crate::{absent, args, diag::{self, Diag}};
use nu_protocol::{
    DeclId, ParseError, Span,
    ast::Block,
    engine::StateWorkingSet,
    ir::Instruction,
};

/// The parser recurses for every open bracket; deeper text would exhaust its stack.
const MAX_NESTING: usize = 200;

/// The offset at which brackets are nested too deep. Brackets in strings count as well.
pub fn too_deep(text: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    for (i, b) in text.iter().enumerate() {
        match b {
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > MAX_NESTING {
                    return Some(i);
                }
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Everything that is wrong with what was parsed into the working set since the engine state.
pub fn errors(ws: &StateWorkingSet) -> Vec<Diag> {
    let mut out: Vec<Diag> = vec![];
    let mut add = |d: Diag| {
        if !out.iter().any(|o| o.file == d.file && o.line == d.line && o.col == d.col) {
            out.push(d);
        }
    };
    for e in &ws.parse_errors {
        // It follows from another error.
        if matches!(e, ParseError::InternalError(text, _) if text.starts_with("failed to find added module")) {
            continue;
        }
        add(of_parse(ws, e));
    }
    for e in &ws.compile_errors {
        add(diag::of(ws, e));
    }
    for d in bare_words(ws) {
        add(d);
    }
    out.sort_by(|a, b| (&a.file, a.line, a.col).cmp(&(&b.file, b.line, b.col)));
    out
}

fn of_parse(ws: &StateWorkingSet, e: &ParseError) -> Diag {
    let word = |s: Span| String::from_utf8_lossy(ws.get_span_contents(s)).into_owned();
    // A second word that is missing reads as an argument of the first: `path expand`.
    let s = e.span();
    if let Some(f) = ws.find_file_by_span(s) {
        let text = |from: usize| String::from_utf8_lossy(ws.get_span_contents(Span::new(from, f.covered_span.end.min(s.end + 80)))).into_owned();
        let before = String::from_utf8_lossy(ws.get_span_contents(Span::new(f.covered_span.start, s.start))).into_owned();
        let last = before.split_whitespace().next_back().map_or(0, |w| before.len() - before.rfind(w).unwrap_or(0));
        if let Some((name, why)) = absent::pair(&text(s.start)).or_else(|| absent::pair(&text(s.start - last))) {
            return diag::at(ws, s, format!("`{name}` is not here"), "", why);
        }
    }
    match e {
        // `alias x = y`, `source x` and the like are read by the parser itself, which then misses their declaration.
        ParseError::UnknownState(_, s) | ParseError::InternalError(_, s) => match absent::reason(&word(*s)) {
            Some((name, why)) => diag::at(ws, *s, format!("`{name}` is not here"), "", why),
            None => diag::of(ws, e),
        },
        ParseError::ModuleNotFound(s, name) if preceded(ws, *s, "module") => {
            diag::at(ws, *s, format!("`module {name}` is not here"), "a file is no part of another", format!("write `export use {name}`"))
        }
        ParseError::ModuleNotFound(s, name) => diag::at(
            ws,
            *s,
            format!("module {name} not found"),
            "",
            "a path is looked up beside this file, then in the package set; it must be a constant",
        ),
        ParseError::ExpectedKeyword(_, s) => match absent::reason(&word(*s)) {
            Some((name, why)) => diag::at(ws, *s, format!("`{name}` is not here"), "", why),
            None => diag::at(ws, *s, "this does nothing at the top of a package file", "", "only def, const, use, module and export stand there: put it into `main`"),
        },
        ParseError::UnknownFlag(command, ..) => {
            let mut d = diag::of(ws, e);
            if let Some(usage) = usage(ws, command) {
                d.hint = format!("usage: {usage}; if a program is meant, write ^{command}");
            }
            d
        }
        _ => {
            let mut d = diag::of(ws, e);
            // An error of a constant comes with a drawing of its own.
            if d.msg.contains("not_a_constant") {
                d.msg = "this is no constant".into();
                d.label = "read before anything is evaluated".into();
                d.hint = "write the value, or declare it with `const`".into();
            }
            d
        }
    }
}

/// Whether `word` stands before `s`.
fn preceded(ws: &StateWorkingSet, s: Span, word: &str) -> bool {
    let start = ws.find_file_by_span(s).map_or(s.start, |f| f.covered_span.start);
    String::from_utf8_lossy(ws.get_span_contents(Span::new(start, s.start))).trim_end().ends_with(word)
}

/// How the command called `name` is called.
fn usage(ws: &StateWorkingSet, name: &str) -> Option<String> {
    (0..ws.num_decls()).rev().map(|i| ws.get_decl(DeclId::new(i))).find(|d| d.name() == name).map(|d| args::usage(name, &ws.get_signature(d)))
}

/// Programs called without `^`: almost always a misspelt command.
fn bare_words(ws: &StateWorkingSet) -> Vec<Diag> {
    let Some(external) = ws.find_decl(b"run-external") else { return vec![] };
    let mut out = vec![];
    for block in ws.delta.blocks.iter() {
        for head in calls(block).filter(|(id, _)| *id == external).map(|(_, s)| s) {
            if head.start == 0 || ws.get_span_contents(Span::new(head.start - 1, head.start)) == b"^" {
                continue;
            }
            let name = String::from_utf8_lossy(ws.get_span_contents(head)).into_owned();
            if name.starts_with('^') || name == "run-external" {
                continue;
            }
            out.push(unknown(ws, &name, head));
        }
    }
    out
}

/// The calls in a block's own code (not in closures inside it): what is called, and where its name stands.
pub fn calls(block: &Block) -> impl Iterator<Item = (DeclId, Span)> + '_ {
    block.ir_block.iter().flat_map(|ir| {
        ir.instructions.iter().zip(&ir.spans).filter_map(|(i, s)| match i {
            Instruction::Call { decl_id, .. } => Some((*decl_id, *s)),
            _ => None,
        })
    })
}

fn unknown(ws: &StateWorkingSet, name: &str, span: Span) -> Diag {
    let line_end = ws.find_file_by_span(span).map_or(span.end, |f| f.covered_span.end);
    let rest = String::from_utf8_lossy(ws.get_span_contents(Span::new(span.start, line_end.min(span.end + 80)))).into_owned();
    let rest = rest.lines().next().unwrap_or_default();
    if let Some((full, why)) = absent::reason(rest) {
        return diag::at(ws, span, format!("`{full}` is not here"), "not available in package files", why);
    }
    let mut known = vec![];
    ws.traverse_commands(|n, _| known.push(String::from_utf8_lossy(n).into_owned()));
    known.sort();
    let near = near(name, known.iter().map(String::as_str)).map(|n| format!("; or did you mean `{n}`?")).unwrap_or_default();
    diag::at(ws, span, format!("unknown command `{name}`"), "neither a command nor written as a program", format!("programs are written ^{name}{near}"))
}

/// The name most like `word`, if one is alike at all.
pub fn near<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = match word.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    names.map(|n| (distance(word, n, most), n)).filter(|(d, _)| *d <= most).min().map(|(_, n)| n)
}

/// How many letters must be changed, added, dropped or swapped with their neighbour; more than `most` is any larger number.
fn distance(a: &str, b: &str, most: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > most {
        return most + 1;
    }
    let mut d = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            d[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let change = d[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let least = change.min(d[i - 1][j] + 1).min(d[i][j - 1] + 1);
                if swap { least.min(d[i - 2][j - 2] + 1) } else { least }
            };
        }
    }
    d[a.len()][b.len()]
}
