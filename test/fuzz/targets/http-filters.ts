// Settings of every HTTP filter, as bytes and as messages that nobody would write, for chains and for routes: reading
// them never throws, and what is accepted makes a filter.
import assert from "node:assert/strict";
import { create, type DescMessage, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { Problems } from "#proxy/config/problems.ts";
import type { FilterPlace, SettingsParser } from "#proxy/http/filter.ts";
import { httpFilterTypes } from "#proxy/http/filters/all.ts";
import { anyRegistry } from "#proxy/xds/any-registry.ts";
import { damaged } from "../bytes.ts";
import { type FuzzTarget, fuzzTarget } from "../fuzz-target.ts";
import { MessageMaker, randomOf } from "../random-message.ts";

interface Case {
  readonly parser: SettingsParser<unknown>;
  readonly schema: DescMessage;
  readonly decide: ((settings: unknown) => unknown) | null;
}

const cases: readonly Case[] = httpFilterTypes.flatMap(({ messages, routeMessages, decide }) => [
  ...messages.flatMap((parser) => (parser.schema === null ? [] : [{ parser, schema: parser.schema, decide }])),
  ...routeMessages.flatMap((parser) =>
    parser.schema === null ? [] : [{ parser, schema: parser.schema, decide: null }],
  ),
]);
const registry = anyRegistry();

function check({ parser, schema, decide }: Case, value: Uint8Array): void {
  const any: Any = create(AnySchema, { typeUrl: `type.googleapis.com/${schema.typeName}`, value });
  const problems = new Problems("listener", "l");
  const place: FilterPlace = { name: "f", path: "filters[0]", problems, policyOrigins: new Map() };
  const decoded = problems.done(parser.parse(any, place));
  for (const { message, path } of decoded.issues) assert.ok(message !== "" && path !== undefined);
  if (decoded.value !== null) decide?.(decoded.value);
}

const pick = fc.nat(cases.length - 1);
const input = fc.oneof(
  fc.record({ at: pick, bytes: damaged([Buffer.alloc(0)]), seed: fc.constant(0) }),
  fc.record({ at: pick, bytes: fc.constant(null), seed: fc.nat(2 ** 31 - 1) }),
);

export const httpFilterSettings: FuzzTarget = fuzzTarget(
  "http-filter-settings",
  fc.property(input, ({ at, bytes, seed }) => {
    const chosen = cases[at]!;
    check(chosen, bytes ?? toBinary(chosen.schema, new MessageMaker(randomOf(seed), registry).make(chosen.schema)));
  }),
);
