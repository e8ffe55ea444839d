// A reader of JSON that keeps what JSON.parse loses: numbers as exact decimal
// values and members in the order of the text. It is what the check measures
// JSON.parse and the product by, so it shares no code with either; only single
// strings are left to JSON.parse.

const space = /[ \t\n\r]*/y;
const string = /"(?:[^"\\\u0000-\u001f]|\\.)*"/y;
const number = /(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?/y;
const literal = /true|false|null/y;

// A JSON number as a value, in one spelling: "-12e-1", digits without zeros at
// either end. Negative zero is "-0".
export function decimal(text) {
  number.lastIndex = 0;
  const match = number.exec(text);
  if (match === null || match[0] !== text) throw new SyntaxError(`no number: ${text.slice(0, 40)}`);
  const [, sign, integer, fraction = "", exponent = "0"] = match;
  const digits = (integer + fraction).replace(/^0+/, "");
  const significant = digits.replace(/0+$/, "");
  if (significant === "") return `${sign}0`;
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length);
  return `${sign}${significant}e${power}`;
}

// parse returns {kind, value}: for an object value is an array of [key, node]
// pairs, for an array one of nodes, for a number what decimal returns.
export function parse(text) {
  let at = 0;

  function match(pattern) {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found === null) throw new SyntaxError(`unexpected text at ${at}`);
    at = pattern.lastIndex;
    return found[0];
  }

  function skip(character) {
    match(space);
    if (text[at] !== character) return false;
    at++;
    return true;
  }

  function list(close, item) {
    const items = [];
    if (skip(close)) return items;
    do items.push(item());
    while (skip(","));
    if (!skip(close)) throw new SyntaxError(`no ${close} at ${at}`);
    return items;
  }

  function member() {
    match(space);
    const key = JSON.parse(match(string));
    if (!skip(":")) throw new SyntaxError(`no colon at ${at}`);
    return [key, value()];
  }

  function value() {
    if (skip("{")) return { kind: "object", value: list("}", member) };
    if (skip("[")) return { kind: "array", value: list("]", value) };
    const character = text[at];
    if (character === '"') return { kind: "string", value: JSON.parse(match(string)) };
    if (character === "-" || (character >= "0" && character <= "9")) return { kind: "number", value: decimal(match(number)) };
    return { kind: "literal", value: match(literal) };
  }

  const root = value();
  match(space);
  if (at !== text.length) throw new SyntaxError(`something follows at ${at}`);
  return root;
}

// difference says where b does not hold the values of a in the order in which
// JavaScript enumerates them, or returns null.
export function difference(a, b, path = "$") {
  if (a.kind !== b.kind) return `${path}: ${a.kind} became ${b.kind}`;
  if (a.kind === "object") {
    const order = enumerated(a.value);
    if (order.length !== b.value.length) return `${path}: ${order.length} members became ${b.value.length}`;
    for (const [i, [key, node]] of order.entries()) {
      const [otherKey, otherNode] = b.value[i];
      if (key !== otherKey) return `${path}: member ${i} is ${JSON.stringify(otherKey)}, not ${JSON.stringify(key)}`;
      const found = difference(node, otherNode, `${path}[${JSON.stringify(key)}]`);
      if (found !== null) return found;
    }
    return null;
  }
  if (a.kind === "array") {
    if (a.value.length !== b.value.length) return `${path}: ${a.value.length} elements became ${b.value.length}`;
    for (const [i, node] of a.value.entries()) {
      const found = difference(node, b.value[i], `${path}[${i}]`);
      if (found !== null) return found;
    }
    return null;
  }
  if (a.value === b.value || (a.kind === "number" && respelled(a.value, b.value))) return null;
  return `${path}: ${JSON.stringify(a.value)} became ${JSON.stringify(b.value)}`;
}

// respelled reports whether both are one double below the smallest normal one, and
// a is that double rounded to as many digits as a has.
function respelled(a, b) {
  const double = Number(a);
  const digits = a.replace(/^-/, "").split("e")[0].length;
  return double === Number(b) && Math.abs(double) < 2 ** -1022 && digits <= 17 && decimal(double.toExponential(digits - 1)) === a;
}

function enumerated(members) {
  const index = ([key]) => (/^(0|[1-9]\d{0,9})$/.test(key) && Number(key) < 2 ** 32 - 1 ? Number(key) : Infinity);
  const first = members.filter((m) => index(m) !== Infinity).sort((a, b) => index(a) - index(b));
  return [...first, ...members.filter((m) => index(m) === Infinity)];
}
