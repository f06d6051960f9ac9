// What a topology is written with.

export type { Column, ColumnType } from "./codec/column.ts";
// Records and their schemas.
export { RecordSchema } from "./codec/record-schema.ts";
export type { ErrorCode, Recovery } from "./core/errors.ts";
// Errors.
export { errorCodes, KappaError, messageOf } from "./core/errors.ts";
export type { DurationMs, EventTimeMs } from "./core/time.ts";
// Time and windows.
export { days, hours, milliseconds, minutes, seconds } from "./core/time.ts";
export type { EngineOptions, EngineState } from "./engine/engine.ts";
// Running.
export { Engine } from "./engine/engine.ts";
export type { TopologyModule, TopologyParameters } from "./engine/topology-module.ts";
export type { FileLogOptions } from "./log/file-log.ts";
// The log.
export { openFileLog } from "./log/file-log.ts";
export type { Cursor, Log, RecordBatch, Topic, TopicConfig, TransactionSection, Writer } from "./log/log.ts";
export { MemoryLog } from "./log/memory-log.ts";
export { partitionOf } from "./log/partitioner.ts";
export { RecordBatchReader, RecordBatchWriter } from "./log/record-batch.ts";
export type { Band, Decision } from "./scoring/bands.ts";
export { Bands } from "./scoring/bands.ts";
export type { ModelReference } from "./scoring/model-reference.ts";
// Models, rules, decisions.
export { bareModel, modelIn } from "./scoring/model-reference.ts";
export type { Rule, RuleSet } from "./scoring/rules.ts";
export { parseRules } from "./scoring/rules.ts";
export type { OnlineAddress } from "./serving/online-protocol.ts";
export type { Aggregate } from "./state/aggregate.ts";
export type { EventWindow, KeyWindow } from "./state/window.ts";
export type { TaskSettings } from "./task/settings.ts";
export { defaultSettings } from "./task/settings.ts";
export type { InputOptions, StreamOptions, TableOptions } from "./topology/builder.ts";
export { TopologyBuilder } from "./topology/builder.ts";
export type { ColumnMap, KeyField, NumericField, RowOf, ScalarField, TimeField } from "./topology/columns.ts";
export type { Feature, FeatureMap, FeatureValues, SlidingOptions } from "./topology/feature.ts";
export { Over, WindowFeatures } from "./topology/feature.ts";
export type { FeaturesOfOptions, FeaturesOptions, MarkOptions } from "./topology/feature-options.ts";
export type { EventFacts, GraphNode, LatePolicy, ServedTable, SubTopology, Topology } from "./topology/graph.ts";
export type { ServeOptions } from "./topology/serve-options.ts";
export type { Reason, ScoreOptions } from "./topology/stream.ts";
export { Stream } from "./topology/stream.ts";
export { Table } from "./topology/table.ts";
export type { WindowBounds, WindowOptions } from "./topology/windowed-stream.ts";
export { WindowedStream } from "./topology/windowed-stream.ts";
