// envoy.filters.http.stateful_session: a client comes back to the host that served it before, as long as that host can
// be used.
import {
  type StatefulSession,
  StatefulSessionPerRouteSchema,
  StatefulSessionSchema,
} from "#wire/gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.ts";
import {
  CONTINUE,
  defineHttpFilter,
  type FilterPlace,
  type HttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
} from "../../filter.ts";
import { parseSessionState, type SessionState, sessionStates } from "./session-state.ts";

interface SessionSettings {
  /** Null: there is none here. */
  readonly state: SessionState | null;
  /** No other host will do. */
  readonly isStrict: boolean;
}

export const statefulSession: HttpFilterType = defineHttpFilter<SessionSettings, SessionSettings>({
  type: "stateful_session",
  messages: [settingsFrom(StatefulSessionSchema, parse)],
  routeMessages: [
    settingsFrom(StatefulSessionPerRouteSchema, ({ override }, place) => {
      if (override.case === "statefulSession") return parse(override.value, place);
      if (override.case === undefined) place.problems.invalid(place.path, "overrides nothing");
      return { state: null, isStrict: false };
    }),
  ],
  extensions: sessionStates,
  configure: (settings, { routeSettings }) => {
    const filter: HttpFilter = {
      onRequestHeaders: (stream) => {
        const { state, isStrict } = routeSettings(stream) ?? settings;
        if (state === null) return CONTINUE;
        const address = state.read(stream);
        if (address !== "") stream.overrideHost = { address, isStrict };
        stream.attach(filter, {
          onResponseHeaders: (answered, headers) => {
            // What is answered here was served by no host.
            const used = answered.responseDetails === "via_upstream" ? answered.endpointConfig?.key : undefined;
            if (used !== undefined) state.write(headers, address, used);
            return CONTINUE;
          },
        });
        return CONTINUE;
      },
    };
    return sharedFilter(filter);
  },
});

function parse(message: StatefulSession, { path, problems }: FilterPlace): SessionSettings {
  const at = `${path}.session_state.typed_config`;
  return { state: parseSessionState(message.sessionState?.typedConfig, at, problems), isStrict: message.strict };
}
