//! Checks on text before it is parsed and on blocks after.
use crate::{absent, diag::{self, Diag}};
use nu_protocol::{
    DeclId, ParseError, Span,
    ast::Block,
    did_you_mean,
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
    match e {
        // `alias x = y`, `source x` and the like are read by the parser itself, which then misses their declaration.
        ParseError::UnknownState(_, s) => match absent::reason(&word(*s)) {
            Some((name, why)) => diag::at(ws, *s, format!("`{name}` is not here"), "", why),
            None => diag::of(ws, e),
        },
        ParseError::ModuleNotFound(s, name) => diag::at(
            ws,
            *s,
            format!("module {name} not found"),
            "",
            "a path is looked up beside this file, then in the package set; it must be a constant",
        ),
        // A command of the same name as a module hides the program.
        ParseError::ExtraPositional(_, s) | ParseError::UnknownFlag(_, _, s, _) => {
            let mut d = diag::of(ws, e);
            if d.hint.is_empty() {
                d.hint = format!("if a program is meant, write ^ before its name ({})", word(*s));
            }
            d
        }
        _ => {
            let mut d = diag::of(ws, e);
            if let ParseError::LabeledErrorWithHelp { error, .. } = e {
                d.msg = error.clone();
            }
            d
        }
    }
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
    let near = did_you_mean(&known, name).map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
    diag::at(ws, span, format!("unknown command `{name}`"), "neither a command nor written as a program", format!("{near}programs are written ^{name}"))
}
