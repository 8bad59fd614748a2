import assert from "node:assert/strict";
import { test } from "node:test";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import type { AccessLog } from "#wire/gen/envoy/config/accesslog/v3/accesslog_pb.ts";
import { type FileAccessLog, FileAccessLogSchema } from "#wire/gen/envoy/extensions/access_loggers/file/v3/file_pb.ts";
import { accessLogs } from "./access-log.ts";

const settings = { accessLogFile: "/dev/stdout", accessLogFormat: "", accessLogEncoding: "TEXT" } as const;

function formatOf(log: AccessLog | undefined): unknown {
  const file: FileAccessLog | undefined =
    log?.configType.case === "typedConfig" ? anyUnpack(log.configType.value, FileAccessLogSchema) : undefined;
  assert.equal(file?.path, "/dev/stdout");
  const format = file?.accessLogFormat.case === "logFormat" ? file.accessLogFormat.value.format : undefined;
  return format?.case === "textFormatSource" ? format.value.specifier.value : format?.value;
}

test("without a file there is no access log", () => {
  assert.deepEqual(accessLogs({ ...settings, accessLogFile: "" }), { filter: [], listener: [] });
});

test("the default text is Istio's line", () => {
  const text = String(formatOf(accessLogs(settings).filter[0]));
  assert.ok(
    text.startsWith('[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE%'),
  );
  assert.ok(text.endsWith("%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"));
});

test("a format of the user's own gets its newline, as text or as JSON", () => {
  assert.equal(formatOf(accessLogs({ ...settings, accessLogFormat: "%PROTOCOL%" }).filter[0]), "%PROTOCOL%\n");
  const json = accessLogs({ ...settings, accessLogEncoding: "JSON", accessLogFormat: '{"p":"%PROTOCOL%"}' });
  assert.deepEqual(formatOf(json.filter[0]), { p: "%PROTOCOL%" });
});

test("JSON that cannot be read falls back to Istio's keys", () => {
  const json = accessLogs({ ...settings, accessLogEncoding: "JSON", accessLogFormat: "{" });
  assert.equal(Object.keys(Object(formatOf(json.filter[0]))).length, 24);
});

test("the listener logs only connections that no filter chain took", () => {
  const filter = accessLogs(settings).listener[0]?.filter?.filterSpecifier;
  assert.deepEqual(filter?.case === "responseFlagFilter" && filter.value.flags, ["NR"]);
});
