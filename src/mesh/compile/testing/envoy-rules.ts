// For tests: applies the constraints that Envoy's protos carry (protoc-gen-validate) to a message and everything in
// it, packed messages included. What Envoy refuses for these reasons is found here, without Envoy.
import {
  type DescField,
  type DescMessage,
  fromBinary,
  getOption,
  hasOption,
  type Message,
  type Registry,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Any, Duration } from "@bufbuild/protobuf/wkt";
import {
  type FieldRules,
  type RepeatedRules,
  required,
  rules,
  type StringRules,
} from "#wire/gen/validate/validate_pb.ts";

/** Lists what is wrong, as `path: reason`. */
export function brokenRules(schema: DescMessage, message: Message, registry: Registry): string[] {
  const problems: string[] = [];
  checkMessage(reflect(schema, message), schema.name, { registry, report: (problem) => problems.push(problem) });
  return problems;
}

interface Context {
  readonly registry: Registry;
  readonly report: (problem: string) => void;
}

function checkMessage(message: ReflectMessage, path: string, context: Context): void {
  if (message.desc.typeName === "google.protobuf.Any") {
    checkAny(message.message as Any, path, context);
    return;
  }
  for (const oneof of message.desc.oneofs) {
    const isRequired = hasOption(oneof, required) && getOption(oneof, required);
    if (isRequired && message.oneofCase(oneof) === undefined) context.report(`${path}.${oneof.name}: one is required`);
  }
  for (const field of message.fields) checkField(message, field, `${path}.${field.jsonName}`, context);
}

function checkAny(any: Any, path: string, context: Context): void {
  const name = any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1);
  const schema = context.registry.getMessage(name);
  if (schema === undefined) {
    // The one message that Envoy knows and the generated code does not.
    if (!name.endsWith(".UriTemplateMatchConfig")) context.report(`${path}: unknown message ${any.typeUrl}`);
    return;
  }
  checkMessage(reflect(schema, fromBinary(schema, any.value)), `${path}<${schema.name}>`, context);
}

/** Reading an option decodes it anew each time. */
const knownRules = new WeakMap<DescField, FieldRules | null>();

function rulesOf(field: DescField): FieldRules | undefined {
  let known = knownRules.get(field);
  if (known === undefined) {
    known = hasOption(field, rules) ? getOption(field, rules) : null;
    knownRules.set(field, known);
  }
  return known ?? undefined;
}

function checkField(message: ReflectMessage, field: DescField, path: string, context: Context): void {
  const constraints = rulesOf(field);
  const isSet = message.isSet(field);
  // What is not the chosen member of a oneof is not there at all.
  if (field.oneof !== undefined && !isSet) return;
  if (constraints?.message?.required && !isSet) context.report(`${path}: required`);
  const type = constraints?.type;
  if (type?.case === "duration" && type.value.required && !isSet) context.report(`${path}: required`);
  if (type?.case === "any" && type.value.required && !isSet) context.report(`${path}: required`);

  switch (field.fieldKind) {
    case "list": {
      const items = [...message.get(field)];
      if (type?.case === "repeated") checkList(items, type.value, path, context);
      items.forEach((item, index) => {
        if (field.listKind === "message") checkMessage(item as ReflectMessage, `${path}[${index}]`, context);
      });
      break;
    }
    case "map":
      for (const [key, item] of message.get(field)) {
        if (field.mapKind === "message") checkMessage(item as ReflectMessage, `${path}[${String(key)}]`, context);
      }
      break;
    case "message":
      if (!isSet) return;
      if (type?.case === "duration") checkDuration(message.get(field).message as Duration, type.value, path, context);
      checkWrapped(message.get(field), constraints, path, context);
      checkMessage(message.get(field), path, context);
      break;
    case "enum":
      checkEnum(field, Number(message.get(field)), constraints, path, context);
      break;
    default:
      checkScalar(message.get(field), constraints, path, context);
  }
}

/** Number and string rules on google.protobuf wrappers. */
function checkWrapped(
  value: ReflectMessage,
  constraints: FieldRules | undefined,
  path: string,
  context: Context,
): void {
  if (!/^google\.protobuf\.\w+Value$/.test(value.desc.typeName)) return;
  const [inner] = value.desc.fields;
  if (inner?.fieldKind === "scalar") checkScalar(value.get(inner), constraints, path, context);
}

function checkScalar(value: unknown, constraints: FieldRules | undefined, path: string, context: Context): void {
  const type = constraints?.type;
  if (type === undefined || type.case === undefined) return;
  if (typeof value === "string" && type.case === "string") checkString(value, type.value, path, context);
  if (value instanceof Uint8Array && type.case === "bytes" && value.length < Number(type.value.minLen)) {
    context.report(`${path}: too short`);
  }
  if ((typeof value === "number" || typeof value === "bigint") && "gte" in type.value) {
    const limits: { gte?: unknown; gt?: unknown; lte?: unknown; lt?: unknown; ignoreEmpty?: unknown } = type.value;
    const isIgnored = limits.ignoreEmpty === true && Number(value) === 0;
    const breaks =
      (limits.gte !== undefined && isSet(limits.gte) && Number(value) < Number(limits.gte)) ||
      (isSet(limits.gt) && Number(value) <= Number(limits.gt)) ||
      (isSet(limits.lte) && Number(value) > Number(limits.lte)) ||
      (isSet(limits.lt) && Number(value) >= Number(limits.lt));
    if (breaks && !isIgnored) context.report(`${path}: ${value} is out of range`);
  }
}

function checkEnum(
  field: DescField & { readonly fieldKind: "enum" },
  value: number,
  constraints: FieldRules | undefined,
  path: string,
  context: Context,
): void {
  if (constraints?.type.case !== "enum") return;
  const { definedOnly, notIn } = constraints.type.value;
  const isDefined = field.enum.values.some(({ number }) => number === value);
  if ((definedOnly && !isDefined) || notIn.includes(value)) context.report(`${path}: ${value} is not allowed`);
}

function isSet(limit: unknown): boolean {
  return limit !== undefined && limit !== 0 && limit !== 0n;
}

function checkString(value: string, constraints: StringRules, path: string, context: Context): void {
  if (constraints.ignoreEmpty && value === "") return;
  if (value.length < Number(constraints.minLen ?? 0n)) context.report(`${path}: too short`);
  if (Number(constraints.maxLen ?? 0n) > 0 && value.length > Number(constraints.maxLen)) {
    context.report(`${path}: too long`);
  }
  if (constraints.prefix !== "" && constraints.prefix !== undefined && !value.startsWith(constraints.prefix)) {
    context.report(`${path}: must start with ${constraints.prefix}`);
  }
  if (constraints.pattern !== "" && constraints.pattern !== undefined && !new RegExp(constraints.pattern).test(value)) {
    context.report(`${path}: must match ${constraints.pattern}`);
  }
  if (constraints.minBytes > 0n && Buffer.byteLength(value) < Number(constraints.minBytes)) {
    context.report(`${path}: too short`);
  }
  if (constraints.in.length > 0 && !constraints.in.includes(value)) context.report(`${path}: ${value} is not allowed`);
  if (constraints.notIn.includes(value)) context.report(`${path}: ${value} is not allowed`);
  if (constraints.wellKnown.case === "wellKnownRegex" && /[\0\r\n]/.test(value)) {
    context.report(`${path}: not a header`);
  }
}

function checkList(items: readonly unknown[], constraints: RepeatedRules, path: string, context: Context): void {
  if (items.length < Number(constraints.minItems ?? 0n)) context.report(`${path}: too few`);
  const most = Number(constraints.maxItems ?? 0n);
  if (most > 0 && items.length > most) context.report(`${path}: too many`);
  const ofItem = constraints.items;
  items.forEach((item, index) => checkScalar(item, ofItem, `${path}[${index}]`, context));
}

function checkDuration(
  value: Duration,
  limits: {
    readonly gt?: Duration | undefined;
    readonly gte?: Duration | undefined;
    readonly lt?: Duration | undefined;
  },
  path: string,
  context: Context,
): void {
  const nanos = (duration: Duration): bigint => duration.seconds * 1_000_000_000n + BigInt(duration.nanos);
  const breaks =
    (limits.gt !== undefined && nanos(value) <= nanos(limits.gt)) ||
    (limits.gte !== undefined && nanos(value) < nanos(limits.gte)) ||
    (limits.lt !== undefined && nanos(value) >= nanos(limits.lt));
  if (breaks) context.report(`${path}: duration out of range`);
}
