import EdgeModel
import XCTest

/// Proves on a device that it computes what the machine that made the bundle did.
final class SelfTestOnDevice: XCTestCase {
    func testTheCPUGivesTheStoredAnswers() throws { try check(Options(provider: .cpu)) }

    func testXNNPACKGivesTheStoredAnswers() throws { try check(Options(provider: .xnnpack)) }

    /// On Core ML's CPU, in float32: its other units compute in float16.
    func testCoreMLGivesTheStoredAnswers() throws {
        try check(Options(provider: .coreML, units: .cpu))
    }

    private func check(_ options: Options) throws {
        let folder = try XCTUnwrap(Bundle.main.url(forResource: "model", withExtension: nil))
        let test = try SelfTest.run(try Model(folder: folder, options: options))
        print(test.summary)
        XCTAssertTrue(test.passed, test.summary)
    }
}
