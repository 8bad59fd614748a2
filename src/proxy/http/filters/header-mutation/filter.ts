// envoy.filters.http.header_mutation: changes headers of requests and responses, as the chain says and then as routes say.
import type { HeaderMutation as EnvoyHeaderMutation } from "#wire/gen/envoy/config/common/mutation_rules/v3/mutation_rules_pb.ts";
import {
  HeaderMutationPerRouteSchema,
  HeaderMutationSchema,
  type Mutations,
} from "#wire/gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.ts";
import type { HeaderMutation, HeaderMutations } from "../../../config/http.ts";
import { decodeHeaderOptions } from "../../../config/parse/header-mutations.ts";
import type { Problems } from "../../../config/problems.ts";
import {
  CONTINUE,
  defineHttpFilter,
  type FilterPlace,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
} from "../../filter.ts";
import { applyHeaderMutations } from "../../header-mutation.ts";
import type { Stream } from "../../stream.ts";

interface HeaderMutationSettings {
  readonly mutations: HeaderMutations;
  /** Routes come after their virtual host, and so have the last word. Else the virtual host has it. */
  readonly mostSpecificWins: boolean;
}

export const headerMutation: HttpFilterType = defineHttpFilter<HeaderMutationSettings, HeaderMutations>({
  type: "header_mutation",
  messages: [
    settingsFrom(HeaderMutationSchema, ({ mutations, mostSpecificHeaderMutationsWins }, place) => ({
      mutations: parse(mutations, place),
      mostSpecificWins: mostSpecificHeaderMutationsWins,
    })),
  ],
  routeMessages: [settingsFrom(HeaderMutationPerRouteSchema, ({ mutations }, place) => parse(mutations, place))],
  configure: ({ mutations, mostSpecificWins }, { allRouteSettings }) => {
    const inOrder = (stream: Stream): readonly HeaderMutations[] => {
      const ofRoutes = allRouteSettings(stream);
      return mostSpecificWins ? ofRoutes.toReversed() : ofRoutes;
    };
    return sharedFilter({
      onRequestHeaders: (stream, headers) => {
        applyHeaderMutations(stream, headers, mutations.request, true);
        for (const own of inOrder(stream)) applyHeaderMutations(stream, headers, own.request, true);
        return CONTINUE;
      },
      onResponseHeaders: (stream, headers) => {
        applyHeaderMutations(stream, headers, mutations.response, false);
        for (const own of inOrder(stream)) applyHeaderMutations(stream, headers, own.response, false);
        return CONTINUE;
      },
    });
  },
});

function parse(mutations: Mutations | undefined, { path, problems }: FilterPlace): HeaderMutations {
  const at = `${path}.mutations`;
  return {
    request: parseList(mutations?.requestMutations ?? [], `${at}.request_mutations`, problems),
    response: parseList(mutations?.responseMutations ?? [], `${at}.response_mutations`, problems),
  };
}

function parseList(list: readonly EnvoyHeaderMutation[], path: string, problems: Problems): HeaderMutation[] {
  return list.flatMap(({ action }, i) => {
    const at = `${path}[${i}]`;
    if (action.case === "append") return decodeHeaderOptions([action.value], `${at}.append`, problems);
    if (action.case === undefined) problems.invalid(at, "names no action");
    else if (action.value === "" || action.value.startsWith(":") || action.value.toLowerCase() === "host") {
      problems.invalid(`${at}.remove`, `"${action.value}" cannot be removed`);
    } else {
      return [{ name: action.value, operation: "remove" as const, value: "" }];
    }
    return [];
  });
}
