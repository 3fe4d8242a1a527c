//! Parser of arithmetic expressions, by precedence climbing.

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Number(f64),
    /// A column, a derived feature or `reference_year`; `at` is its 1-based position in the text.
    Name {
        name: String,
        at: usize,
    },
    Negate(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    Call {
        function: String,
        at: usize,
        arguments: Vec<Expression>,
    },
}

/// `+ - * / ^`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operator {
    /// The sum.
    Add,
    /// The difference.
    Subtract,
    /// The product.
    Multiply,
    /// The quotient.
    Divide,
    /// The left to the power of the right.
    Power,
}

/// An error in an expression; `at` is the 1-based position of the character.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SyntaxError {
    pub(crate) at: usize,
    pub(crate) message: String,
}

impl SyntaxError {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }

    /// The message, followed by the expression (of a long one: the part around the error) and a mark at the position.
    pub(crate) fn show(&self, text: &str) -> String {
        let before = self.at.saturating_sub(1);
        let start = before.saturating_sub(MAX_SHOWN);
        let shown: String = text.chars().skip(start).take(before - start + MAX_SHOWN).collect();
        let ahead = if start > 0 { "…" } else { "" };
        let behind = if text.chars().count() > before + MAX_SHOWN { "…" } else { "" };
        let indent = " ".repeat(before - start + ahead.chars().count());
        format!("{} at character {}\n  {ahead}{shown}{behind}\n  {indent}^", self.message, self.at)
    }
}

/// Largest number of characters of an expression that are shown on either side of an error: two fit into a line of a terminal.
const MAX_SHOWN: usize = 60;
/// Largest nesting of an expression, which bounds the stack.
const MAX_DEPTH: usize = 64;
/// Longest expression in bytes.
const MAX_BYTES: usize = 10_000;
/// Largest number of values of an expression; a long sum is a deep tree, too.
const MAX_VALUES: usize = 1_000;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Name(String),
    Symbol(char),
}

/// Parses the text of an expression.
pub(crate) fn parse(text: &str) -> Result<Expression, SyntaxError> {
    if text.len() > MAX_BYTES {
        return Err(SyntaxError::new(1, format!("the expression is longer than {MAX_BYTES} bytes")));
    }
    let tokens = tokens(text)?;
    let mut values = tokens.iter().filter(|(_, token)| !matches!(token, Token::Symbol(_)));
    if let Some((at, _)) = values.nth(MAX_VALUES) {
        return Err(SyntaxError::new(*at, format!("the expression has more than {MAX_VALUES} values")));
    }
    let mut parser = Parser { tokens, next: 0, end: text.chars().count() + 1, depth: 0 };
    let expression = parser.expression(0)?;
    match parser.tokens.get(parser.next) {
        None => Ok(expression),
        Some((at, token)) => Err(SyntaxError::new(*at, format!("expected an operator, found {}", describe(token)))),
    }
}

fn describe(token: &Token) -> String {
    match token {
        Token::Number(value) => value.to_string(),
        Token::Name(name) => format!("\"{name}\""),
        Token::Symbol(symbol) => format!("\"{symbol}\""),
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    let characters: Vec<char> = text.chars().collect();
    let (mut tokens, mut i) = (Vec::new(), 0);
    let end_of_run = |from: usize, keep: &dyn Fn(char) -> bool| {
        from + characters[from..].iter().take_while(|character| keep(**character)).count()
    };
    while i < characters.len() {
        let (at, character) = (i + 1, characters[i]);
        if character.is_whitespace() {
            i += 1;
        } else if character.is_ascii_digit() || character == '.' {
            let mut end = end_of_run(i, &|c| c.is_ascii_digit() || c == '.');
            if matches!(characters.get(end), Some('e' | 'E')) {
                let sign = usize::from(matches!(characters.get(end + 1), Some('+' | '-')));
                let digits = end_of_run((end + 1 + sign).min(characters.len()), &|c| c.is_ascii_digit());
                if digits > end + 1 + sign {
                    end = digits;
                }
            }
            let number: String = characters[i..end].iter().collect();
            let error = |kind: &str| SyntaxError::new(at, format!("\"{number}\" is not a {kind}"));
            let value: f64 = number.parse().map_err(|_| error("number"))?;
            if !value.is_finite() {
                return Err(error("finite number"));
            }
            tokens.push((at, Token::Number(value)));
            i = end;
        } else if character.is_alphabetic() || character == '_' {
            let end = end_of_run(i, &|c| c.is_alphanumeric() || c == '_');
            tokens.push((at, Token::Name(characters[i..end].iter().collect())));
            i = end;
        } else if character == '`' {
            let end = end_of_run(i + 1, &|c| c != '`');
            if end == characters.len() {
                return Err(SyntaxError::new(at, "a backtick is not closed"));
            }
            tokens.push((at, Token::Name(characters[i + 1..end].iter().collect())));
            i = end + 1;
        } else if "+-*/^(),".contains(character) {
            tokens.push((at, Token::Symbol(character)));
            i += 1;
        } else {
            return Err(SyntaxError::new(at, format!("\"{character}\" is not a valid character")));
        }
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    depth: usize,
}

impl Parser {
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn accept(&mut self, symbol: char) -> bool {
        let matches = matches!(self.tokens.get(self.next), Some((_, Token::Symbol(next))) if *next == symbol);
        self.next += usize::from(matches);
        matches
    }

    fn expression(&mut self, least: u8) -> Result<Expression, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError::new(self.at(), "the expression is nested too deeply"));
        }
        let mut left = self.operand()?;
        while let Some((_, Token::Symbol(symbol))) = self.tokens.get(self.next) {
            // (operator, its precedence, the smallest precedence on its right)
            let (operator, strength, right) = match symbol {
                '+' => (Operator::Add, 1, 2),
                '-' => (Operator::Subtract, 1, 2),
                '*' => (Operator::Multiply, 3, 4),
                '/' => (Operator::Divide, 3, 4),
                '^' => (Operator::Power, 6, 5),
                _ => break,
            };
            if strength < least {
                break;
            }
            self.next += 1;
            left = Expression::Binary(operator, Box::new(left), Box::new(self.expression(right)?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expression, SyntaxError> {
        let at = self.at();
        let Some((_, token)) = self.tokens.get(self.next).cloned() else {
            return Err(SyntaxError::new(at, "a value is missing"));
        };
        self.next += 1;
        match token {
            Token::Number(value) => Ok(Expression::Number(value)),
            Token::Name(function) if self.accept('(') => Ok(Expression::Call { function, at, arguments: self.arguments()? }),
            Token::Name(name) => Ok(Expression::Name { name, at }),
            // lower precedence than a power, higher than a product: -x^2 is -(x^2)
            Token::Symbol('-') => Ok(Expression::Negate(Box::new(self.expression(5)?))),
            Token::Symbol('+') => self.expression(5),
            Token::Symbol('(') => {
                let inner = self.expression(0)?;
                self.close(inner)
            }
            token @ Token::Symbol(_) => Err(SyntaxError::new(at, format!("expected a value, found {}", describe(&token)))),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expression>, SyntaxError> {
        let mut arguments = Vec::new();
        if self.accept(')') {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression(0)?);
            if !self.accept(',') {
                return self.close(arguments);
            }
        }
    }

    fn close<T>(&mut self, inside: T) -> Result<T, SyntaxError> {
        if self.accept(')') { Ok(inside) } else { Err(SyntaxError::new(self.at(), "a closing bracket is missing")) }
    }
}
