//! Data as closures: the other half of freeze.rs.
use crate::{
    check,
    commands::Thawed,
    diag::{self, Diag},
};
use nu_protocol::{
    BlockId, Record, Span, Type, Value,
    ast::Expr,
    engine::{Closure, StateWorkingSet},
};

/// Tells a frozen closure from other records.
pub fn is_frozen(r: &Record) -> bool {
    matches!(r.get("nu"), Some(Value::String { .. })) && r.columns().all(|c| matches!(c.as_str(), "nu" | "captures" | "defs"))
}

/// The closure that `frozen` stands for; its text is parsed as the file `file`.
/// What it captures and calls is bound for its text only.
pub fn closure(ws: &mut StateWorkingSet, frozen: &Value, file: &str) -> Result<Value, Vec<Diag>> {
    let code = Code::read(frozen)?;
    ws.enter_scope();
    let r = code.bind(ws, file).and_then(|_| parse(ws, code.nu, file));
    ws.exit_scope();
    let id = r?;
    let captures = ws.get_block(id).captures.clone();
    let values = captures.iter().filter_map(|(v, _)| ws.get_variable(*v).const_val.clone().map(|x| (*v, x)));
    Ok(Value::closure(Closure { block_id: id, captures: values.collect() }, Span::unknown()))
}

fn parse(ws: &mut StateWorkingSet, text: &str, file: &str) -> Result<BlockId, Vec<Diag>> {
    let prefix = format!("{} ", Thawed::NAME);
    diag::hide_prefix(file, prefix.len());
    if let Some(off) = check::too_deep(text.as_bytes()) {
        return Err(vec![Diag { msg: format!("brackets are nested too deep at byte {off}"), ..Default::default() }]);
    }
    let block = nu_parser::parse_fresh(ws, Some(file), format!("{prefix}{text}").as_bytes(), false);
    let errors = check::errors(ws);
    if !errors.is_empty() {
        return Err(errors);
    }
    block
        .pipelines
        .iter()
        .flat_map(|p| &p.elements)
        .find_map(|e| match &e.expr.expr {
            Expr::Call(call) => match call.positional_iter().next()?.expr {
                Expr::Closure(id) => Some(id),
                _ => None,
            },
            _ => None,
        })
        .ok_or_else(|| vec![Diag { msg: "the stored text is no closure".into(), file: file.into(), line: 1, col: 1, ..Default::default() }])
}

/// A frozen closure or command, taken apart.
struct Code<'a> {
    nu: &'a str,
    captures: Vec<(&'a String, &'a Value)>,
    defs: &'a [Value],
    rec: &'a Record,
}

impl<'a> Code<'a> {
    fn read(v: &'a Value) -> Result<Self, Vec<Diag>> {
        let bad = |m: &str| vec![Diag { msg: format!("stored closure: {m}"), ..Default::default() }];
        let rec = v.as_record().map_err(|_| bad("not a record"))?;
        let nu = rec.get("nu").and_then(|v| v.as_str().ok()).ok_or_else(|| bad("field nu is missing"))?;
        let captures = match rec.get("captures") {
            None => vec![],
            Some(c) => c.as_record().map_err(|_| bad("captures is not a record"))?.iter().collect(),
        };
        let defs = match rec.get("defs") {
            None => &[][..],
            Some(d) => d.as_list().map_err(|_| bad("defs is not a list"))?,
        };
        Ok(Code { nu, captures, defs, rec })
    }

    /// Makes the captures and commands visible in the current scope.
    fn bind(&self, ws: &mut StateWorkingSet, file: &str) -> Result<(), Vec<Diag>> {
        for (name, v) in &self.captures {
            let v = thaw(ws, v, &format!("{file} ${name}"))?;
            let id = ws.add_variable(name.as_bytes().to_vec(), Span::unknown(), Type::Any, false);
            ws.set_variable_const_val(id, v);
        }
        for d in self.defs {
            let def = Code::read(d)?;
            let name = def.rec.get("name").and_then(|v| v.as_str().ok()).unwrap_or_default().to_string();
            let flags: String = match def.rec.get("flags").and_then(|f| f.as_list().ok()) {
                Some(l) => l.iter().filter_map(|f| f.as_str().ok()).map(|f| format!("--{f} ")).collect(),
                None => String::new(),
            };
            let own = def.rec.get("own").and_then(|v| v.as_str().ok()).unwrap_or(&name).to_string();
            let inner = format!("{file} > {name}");
            let prefix = format!("def {flags}{} ", serde_json::to_string(&own).unwrap_or_default());
            ws.enter_scope();
            let r = def.bind(ws, &inner).map(|_| {
                diag::hide_prefix(&inner, prefix.len());
                nu_parser::parse_fresh(ws, Some(&inner), format!("{prefix}{}", def.nu).as_bytes(), false);
                ws.find_decl(own.as_bytes()).filter(|id| ws.get_decl(*id).block_id().is_some())
            });
            ws.exit_scope();
            let errors = check::errors(ws);
            match r? {
                Some(id) if errors.is_empty() => ws.use_decls(vec![(name.into_bytes(), id)]),
                _ if !errors.is_empty() => return Err(errors),
                _ => return Err(vec![Diag { msg: format!("stored command {name} does not parse"), ..Default::default() }]),
            }
        }
        Ok(())
    }
}

/// A captured value; frozen closures in it become closures again.
fn thaw(ws: &mut StateWorkingSet, v: &Value, file: &str) -> Result<Value, Vec<Diag>> {
    Ok(match v {
        Value::Record { val, .. } if is_frozen(val) => closure(ws, v, file)?,
        Value::Record { val, .. } => {
            let mut r = Record::new();
            for (k, x) in val.iter() {
                r.push(k.clone(), thaw(ws, x, file)?);
            }
            Value::record(r, v.span())
        }
        Value::List { vals, .. } => Value::list(vals.iter().map(|x| thaw(ws, x, file)).collect::<Result<_, _>>()?, v.span()),
        other => other.clone(),
    })
}
