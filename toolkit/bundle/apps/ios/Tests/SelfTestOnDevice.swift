import EdgeModel
import XCTest

/// Proves on a device that it computes what the machine that made the bundle did.
///
/// The test of a provider that does not start there is reported as skipped.
final class SelfTestOnDevice: XCTestCase {
    func testTheCPUGivesTheStoredAnswers() throws { try check(Options(provider: .cpu)) }

    func testXNNPACKGivesTheStoredAnswers() throws { try check(Options(provider: .xnnpack)) }

    /// On Core ML's CPU, in float32: its other units compute in float16.
    func testCoreMLGivesTheStoredAnswers() throws {
        try check(Options(provider: .coreML, units: .cpu))
    }

    private func check(_ options: Options) throws {
        let folder = try XCTUnwrap(Bundle.main.url(forResource: "model", withExtension: nil))
        let model = try Model(folder: folder, options: options)
        let why = model.fallback ?? ""
        try XCTSkipIf(model.fallback != nil, "not on \(options.provider.rawValue): \(why)")
        let test = try SelfTest.run(model)
        print(test.summary)
        XCTAssertTrue(test.passed, test.summary)
    }
}
