// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title A sponsor's budget for one run.
/// @notice Holds the tokens that a run may still earn. They leave in two ways only: to the Distributor, when an epoch
/// is settled and never more than the cap per epoch; and back to the sponsor, when the run is over. The run is over when
/// its signers say so through the Distributor, or when nothing was settled for the idle timeout.
/// @dev The Distributor creates its escrow in its own constructor, so that neither can be pointed elsewhere.
/// Tokens that take a fee on transfer are not supported.
contract RunEscrow {
    using SafeERC20 for IERC20;

    IERC20 public immutable token;
    address public immutable distributor;
    address public immutable sponsor;
    /// @notice Most base units that one epoch can release.
    uint256 public immutable epochCap;
    /// @notice Seconds without a settlement after which the sponsor may take the rest back.
    uint256 public immutable idleTimeout;

    /// @notice Time of the last release, or of the creation before the first.
    uint256 public lastActivity;
    /// @notice True for good once the rest went back to the sponsor.
    bool public closed;

    event Funded(address indexed from, uint256 amount);
    event Released(uint64 indexed epoch, uint256 amount);
    event Refunded(address indexed sponsor, uint256 amount);

    error OnlyDistributor(address caller);
    error OnlySponsor(address caller);
    error EscrowClosed();
    error ZeroAddress();
    error ZeroEpochCap();
    error OverEpochCap(uint256 amount, uint256 cap);
    error OverFunds(uint256 amount, uint256 available);
    error NotIdle(uint256 refundableAt);

    modifier onlyDistributor() {
        require(msg.sender == distributor, OnlyDistributor(msg.sender));
        _;
    }

    modifier whenOpen() {
        require(!closed, EscrowClosed());
        _;
    }

    constructor(IERC20 token_, address sponsor_, uint256 epochCap_, uint256 idleTimeout_) {
        require(address(token_) != address(0) && sponsor_ != address(0), ZeroAddress());
        require(epochCap_ != 0, ZeroEpochCap());
        token = token_;
        distributor = msg.sender;
        sponsor = sponsor_;
        epochCap = epochCap_;
        idleTimeout = idleTimeout_;
        lastActivity = block.timestamp;
    }

    /// @notice Base units that can still be earned.
    function available() public view returns (uint256) {
        return token.balanceOf(address(this));
    }

    /// @notice Adds to the budget. Anyone may; a refund goes to the sponsor all the same.
    function fund(uint256 amount) external whenOpen {
        emit Funded(msg.sender, amount);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Moves an epoch's increase to the Distributor. Zero is allowed: the epoch counts as activity.
    function release(uint64 epoch, uint256 amount) external onlyDistributor whenOpen {
        require(amount <= epochCap, OverEpochCap(amount, epochCap));
        uint256 funds = available();
        require(amount <= funds, OverFunds(amount, funds));
        lastActivity = block.timestamp;
        emit Released(epoch, amount);
        token.safeTransfer(distributor, amount);
    }

    /// @notice Ends the run and refunds the rest; the Distributor calls it on the signers' word.
    function close() external onlyDistributor whenOpen {
        _refund();
    }

    /// @notice Ends an abandoned run: the sponsor's way out when the signers are gone.
    function reclaim() external whenOpen {
        require(msg.sender == sponsor, OnlySponsor(msg.sender));
        uint256 refundableAt = lastActivity + idleTimeout;
        require(block.timestamp > refundableAt, NotIdle(refundableAt));
        _refund();
    }

    function _refund() private {
        closed = true;
        uint256 rest = available();
        emit Refunded(sponsor, rest);
        token.safeTransfer(sponsor, rest);
    }
}
